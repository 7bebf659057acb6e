package webui

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
)

// orderView is the page of an order.
type orderView struct {
	Order    order.Order
	Title    string // of the event
	Event    string // its address
	State    string // in words, and what it means
	Meaning  string
	Lines    []order.Line
	Download map[uuid.UUID]string // by line; none: no access now
	PayURL   string               // while it waits for money
}

// myOrder reads the order that the address names, for its buyer or an operator.
// Others are told that there is none.
func (u *ui) myOrder(r *http.Request) (*order.Facts, error) {
	me, err := edge.RequireActor(r.Context())
	if err != nil {
		return nil, err
	}
	orderID, err := pathID(r, "id")
	if err != nil {
		return nil, err
	}
	f, err := u.Checkout.Order(r.Context(), orderID)
	if err != nil {
		return nil, err
	}
	if f.Order.BuyerID != me.ID && !me.Has(account.Operator) {
		return nil, checkout.ErrNoOrder
	}
	return f, nil
}

func (u *ui) order(w http.ResponseWriter, r *http.Request) error {
	f, err := u.myOrder(r)
	if err != nil {
		return err
	}
	// What the address says is believed only as far as the provider knows of no
	// money either.
	from, turnedBack := r.URL.Query().Get("from"), false
	if from != "" && f.Order.State.Open() {
		var asked bool
		if f, asked, err = u.ask(r, f.Order.ID); err != nil {
			return err
		}
		turnedBack = asked && from == "canceled"
	}
	e, err := u.catalogStore.Event(r.Context(), u.Pool, f.Order.EventID)
	if err != nil {
		return err
	}
	v := orderView{Order: f.Order, Title: e.Title, Event: "/e/" + e.Slug, Lines: f.Lines, Download: map[uuid.UUID]string{}}
	d := order.Derive(f)
	v.State, v.Meaning = orderWords(f, &d, turnedBack)
	for _, l := range f.Lines {
		switch {
		case !d.Access(l.ID):
		case l.PhotoID == nil:
			v.Download[l.ID] = "/library/" + l.EventID.String()
		default:
			v.Download[l.ID] = u.Original(*l.PhotoID)
		}
	}
	if f.Order.State == order.AwaitingPayment {
		v.PayURL = f.PayURL()
	}
	return u.show(w, r, "Your order", orderPage(v))
}

// ask has the provider asked and reads the order again. A provider that does not
// answer is no reason not to show the order as it stands: asked is false then.
func (u *ui) ask(r *http.Request, orderID uuid.UUID) (f *order.Facts, asked bool, err error) {
	asked = true
	if err := u.Checkout.Refresh(r.Context(), orderID); err != nil {
		asked = false
		u.Log.WarnContext(r.Context(), "a provider was not asked", "order", orderID, "error", err)
	}
	f, err = u.Checkout.Order(r.Context(), orderID)
	return f, asked, err
}

func (u *ui) checkOrder(w http.ResponseWriter, r *http.Request) error {
	f, err := u.myOrder(r)
	if err != nil {
		return err
	}
	if f.Order.State.Open() {
		if _, _, err := u.ask(r, f.Order.ID); err != nil {
			return err
		}
	}
	return seeOther(w, r, "/o/"+f.Order.ID.String())
}

// owned is one thing in the library.
type owned struct {
	Name, EventTitle string
	Link, Order      string
	Whole, Frozen    bool
}

const ownedOnPage = 60

func (u *ui) library(w http.ResponseWriter, r *http.Request) error {
	me := edge.Actor(r.Context())
	if !me.Known() { // who has bought nothing here yet
		return u.show(w, r, "Your photographs", libraryPage(nil, ""))
	}
	var err error
	before := uuid.Max
	if s := r.URL.Query().Get("before"); s != "" {
		if before, err = uuid.Parse(s); err != nil {
			return edge.ErrNotFound
		}
	}
	items, err := u.grants.Library(r.Context(), u.Pool, me.ID, before, ownedOnPage+1)
	if err != nil {
		return err
	}
	var more string
	if len(items) > ownedOnPage {
		items = items[:ownedOnPage]
		more = "/library?" + url.Values{"before": {items[ownedOnPage-1].ID.String()}}.Encode()
	}
	list, err := u.describe(r, items)
	if err != nil {
		return err
	}
	return u.show(w, r, "Your photographs", libraryPage(list, more))
}

// describe adds the names of photographs and events.
func (u *ui) describe(r *http.Request, items []entitlement.Item) ([]owned, error) {
	var photoIDs, eventIDs []uuid.UUID
	for _, i := range items {
		eventIDs = append(eventIDs, i.EventID)
		if i.PhotoID != nil {
			photoIDs = append(photoIDs, *i.PhotoID)
		}
	}
	photos, err := u.catalogStore.Photos(r.Context(), u.Pool, photoIDs)
	if err != nil {
		return nil, err
	}
	events, err := u.catalogStore.Events(r.Context(), u.Pool, eventIDs)
	if err != nil {
		return nil, err
	}
	names, titles := map[uuid.UUID]string{}, map[uuid.UUID]string{}
	for _, p := range photos {
		names[p.ID] = p.Name
	}
	for _, e := range events {
		titles[e.ID] = e.Title
	}
	out := make([]owned, len(items))
	for n, i := range items {
		o := owned{EventTitle: titles[i.EventID], Order: "/o/" + i.OrderID.String(), Frozen: i.Frozen}
		if i.PhotoID == nil {
			o.Whole, o.Name, o.Link = true, "All photographs", "/library/"+i.EventID.String()
		} else {
			o.Name, o.Link = names[*i.PhotoID], u.Original(*i.PhotoID)
		}
		out[n] = o
	}
	return out, nil
}

// libraryEvent lists the photographs of one event that are owned, one by one.
func (u *ui) libraryEvent(w http.ResponseWriter, r *http.Request) error {
	me, err := edge.RequireActor(r.Context())
	if err != nil {
		return err
	}
	eventID, err := pathID(r, "event")
	if err != nil {
		return err
	}
	mine, whole, err := u.grants.LivePhotos(r.Context(), u.Pool, me.ID, eventID)
	if err != nil {
		return err
	}
	if !whole && len(mine) == 0 {
		return catalog.ErrEventNotFound
	}
	e, err := u.catalogStore.Event(r.Context(), u.Pool, eventID)
	if err != nil {
		return err
	}
	after := uuid.Nil
	if s := r.URL.Query().Get("after"); s != "" {
		if after, err = uuid.Parse(s); err != nil {
			return edge.ErrNotFound
		}
	}
	// Also what has been taken down since: who bought it keeps it.
	photos, err := u.Catalog.PhotosOf(r.Context(), eventID, after, photosOnPage+1, true)
	if err != nil {
		return err
	}
	var more string
	if len(photos) > photosOnPage {
		photos = photos[:photosOnPage]
		more = "/library/" + eventID.String() + "?after=" + photos[photosOnPage-1].ID.String()
	}
	var list []owned
	for _, p := range photos {
		if p.Developed == catalog.Ready && (whole || mine[p.ID]) {
			list = append(list, owned{Name: p.Name, EventTitle: e.Title, Link: u.Original(p.ID)})
		}
	}
	return u.show(w, r, e.Title, libraryPage(list, more))
}
