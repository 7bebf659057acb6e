package webui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
)

var (
	errSelection = problem.Define(problem.Invalid, "form.selection", "The selection cannot be read",
		"Nothing was ordered. Go back to the event and choose again.")
	errNoCookie = problem.Define(problem.Unauthenticated, "checkout.no_cookie", "Your browser did not send its cookie",
		"Nothing was ordered. To buy without an account, allow cookies for this site, load the page before again and send it once more; or sign in.")
	errAnswer = problem.Define(problem.Internal, "checkout.answer", "The order cannot be shown",
		"Look into your orders before you try again.")
)

// mostPhotos bounds what one page reads; the checkout has a bound of its own.
const mostPhotos = 1000

// photoIDs reads ids as forms send them, each once, in ascending order.
func photoIDs(list []string) ([]uuid.UUID, error) {
	if len(list) > mostPhotos {
		return nil, errSelection
	}
	out := make([]uuid.UUID, len(list))
	for i, s := range list {
		var err error
		if out[i], err = uuid.Parse(s); err != nil {
			return nil, errSelection
		}
	}
	return id.Sorted(out), nil
}

// selection is what somebody wants of an event.
type selection struct {
	Photos []uuid.UUID
	Whole  bool
}

func readSelection(v url.Values) (selection, error) {
	photos, err := photoIDs(v["photo"])
	if err != nil {
		return selection{}, err
	}
	if v.Get("whole") != "" {
		return selection{Whole: true}, nil
	}
	return selection{Photos: photos}, nil
}

// reviewPath is the page that shows the selection with its price.
func (s selection) reviewPath(slug string) string {
	q := url.Values{}
	for _, p := range s.Photos {
		q.Add("photo", p.String())
	}
	if s.Whole {
		q.Set("whole", "1")
	}
	return "/e/" + slug + "/checkout?" + q.Encode()
}

// reviewView is the page before paying.
type reviewView struct {
	Event     catalog.Event
	Selection selection
	Photos    []catalog.Photo
	Quote     catalog.Quote
	// Ways are how it can be paid, and why not; empty when it costs nothing.
	Ways     []checkout.Way
	Provider string // the one that is chosen
	Key      string
	Guest    bool // asks for an e-mail address
	Email    string
}

// payable reports whether there is a way to pay it, or nothing to pay.
func (v reviewView) payable() bool { return v.Quote.Total == 0 || v.Provider != "" }

func (u *ui) review(w http.ResponseWriter, r *http.Request) error {
	e, err := u.open(r)
	if err != nil {
		return err
	}
	s, err := readSelection(r.URL.Query())
	if err != nil {
		return err
	}
	me := edge.Actor(r.Context())
	v, err := u.price(r, e, s)
	if err != nil {
		return behind(err, "/e/"+e.Slug)
	}
	v.Key, v.Guest = id.New().String(), me.Kind != account.KindAccount
	// The guest begins here, not when the form comes: sent twice, it would
	// otherwise come from two buyers.
	if !me.Known() {
		if err := u.Limits.Guest(r.Context()); err != nil {
			return err
		}
		secret, g, err := u.Accounts.NewGuest(r.Context())
		if err != nil {
			return err
		}
		http.SetCookie(w, u.Cookies.Guest(secret, g.ExpiresAt))
	}
	return u.show(w, r, "Review your order", reviewPage(v, nil))
}

func (u *ui) price(r *http.Request, e catalog.Event, s selection) (reviewView, error) {
	v := reviewView{Event: e, Selection: s}
	if e.Status != catalog.OnSale {
		return v, catalog.ErrNotOnSale
	}
	var err error
	if !s.Whole {
		if v.Photos, err = u.catalogStore.PhotosForSale(r.Context(), u.Pool, e.ID, s.Photos); err != nil {
			return v, err
		}
	}
	if v.Quote, err = catalog.QuoteFor(e.Prices, len(s.Photos), s.Whole); err != nil || v.Quote.Total == 0 {
		return v, err
	}
	v.Ways = u.Checkout.Ways(v.Quote.Currency, v.Quote.Total, "")
	if i := slices.IndexFunc(v.Ways, func(w checkout.Way) bool { return w.Takes }); i >= 0 {
		v.Provider = v.Ways[i].Provider
	}
	return v, nil
}

func (u *ui) buy(w http.ResponseWriter, r *http.Request) error {
	f, err := form(w, r)
	if err != nil {
		return err
	}
	e, err := u.open(r)
	if err != nil {
		return err
	}
	s, err := readSelection(f)
	if err != nil {
		return err
	}
	me := edge.Actor(r.Context())
	if !me.Known() {
		return errNoCookie.WithLink(s.reviewPath(e.Slug))
	}
	key, err := edge.IdempotencyKey(f.Get("key"))
	if err != nil {
		return err
	}
	total, err := strconv.ParseInt(f.Get("total"), 10, 64)
	if err != nil {
		return errSelection
	}
	var email string
	if me.Kind != account.KindAccount {
		if email, err = account.ParseEmail(f.Get("email")); err != nil {
			v, priceErr := u.price(r, e, s)
			if priceErr != nil {
				return priceErr
			}
			v.Key, v.Guest, v.Email = key, true, f.Get("email")
			if f.Get("provider") != "" {
				v.Provider = f.Get("provider")
			}
			return u.refused(w, r, err, "Review your order", func(p *edge.Problem) templ.Component { return reviewPage(v, p) })
		}
	}
	if total == 0 {
		if err := u.Limits.FreeReceipt(r.Context(), email); err != nil {
			return err
		}
	}
	again, err := u.Limits.Checkout(r.Context(), me.ID)
	if err != nil {
		return err
	}
	answer, err := u.Checkout.Create(r.Context(), checkout.Input{
		Buyer: me, Key: key, EventID: e.ID, AccessCode: u.Cookies.AccessCode(r), Photos: s.Photos, WholeEvent: s.Whole,
		Total: total, Currency: f.Get("currency"), Email: email, Provider: f.Get("provider"),
	})
	if answer.Replayed || errors.Is(err, checkout.ErrRunning) {
		again()
	}
	if err != nil {
		return err
	}
	return u.answer(w, r, answer, s.reviewPath(e.Slug))
}

// answer shows what a checkout was answered with: the page to pay on, the order
// when nothing is to be paid, or the problem.
func (u *ui) answer(w http.ResponseWriter, r *http.Request, a checkout.Answer, again string) error {
	if a.Status >= http.StatusBadRequest {
		var p edge.Problem
		if err := json.Unmarshal(a.Body, &p); err != nil || p.Status != a.Status {
			return errAnswer.Because(fmt.Errorf("status %d, body %q: %w", a.Status, a.Body, err))
		}
		// The answer belongs to the key; another try needs a page with a new one.
		if p.Link == "" {
			p.Link = again
		}
		u.showProblem(w, r, &p)
		return nil
	}
	var result checkout.Result
	if err := json.Unmarshal(a.Body, &result); err != nil {
		return errAnswer.Because(fmt.Errorf("body %q: %w", a.Body, err))
	}
	if result.URL == "" {
		return seeOther(w, r, "/o/"+result.OrderID.String())
	}
	return seeOther(w, r, result.URL)
}
