package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/edge"
)

// by is who asks, as the catalogue knows them.
func by(ctx context.Context) catalog.By {
	a := edge.Actor(ctx)
	return catalog.By{ID: a.AccountID, Operator: a.Has(account.Operator)}
}

// EventPath names an event.
type EventPath struct {
	Event string `path:"event" maxLength:"80" doc:"The event's id, or its slug."`
}

// CodeInput brings the access code of an event that asks for one.
type CodeInput struct {
	Header string `header:"Access-Code" maxLength:"64" doc:"The event's access code, if it asks for one."`
	Query  string `query:"code" maxLength:"64" doc:"The same, for links and pictures."`
}

func (c CodeInput) code() string {
	if c.Header != "" {
		return c.Header
	}
	return c.Query
}

// event reads an event that is open to the caller.
func (d Deps) event(ctx context.Context, name, code string) (catalog.Event, error) {
	if eventID, err := pathUUID("event", name); err == nil {
		return d.Catalog.Event(ctx, by(ctx), eventID, code)
	}
	return d.Catalog.EventBySlug(ctx, by(ctx), name, code)
}

type bundleBody struct {
	Photos int   `json:"photos" minimum:"2" maximum:"10000" doc:"Any so many photographs of the event."`
	Price  int64 `json:"price" minimum:"1" doc:"Minor units of the event's currency, for all of them."`
}

// pricesBody is a price list. What is left out is not sold.
type pricesBody struct {
	Free    bool         `json:"free,omitempty" doc:"Everything costs nothing; then there are no prices."`
	Photo   int64        `json:"photo,omitempty" minimum:"0" doc:"A single photograph, in minor units of the event's currency; 0 or left out: not sold singly."`
	Event   int64        `json:"event,omitempty" minimum:"0" doc:"The whole event, with what is added later; 0 or left out: not sold whole."`
	Bundles []bundleBody `json:"bundles,omitempty" maxItems:"10" doc:"What several photographs cost together."`
}

func showPrices(p catalog.PriceList) pricesBody {
	out := pricesBody{Free: p.Free, Photo: p.Photo, Event: p.Event}
	for _, b := range p.Bundles {
		out.Bundles = append(out.Bundles, bundleBody(b))
	}
	return out
}

func (p pricesBody) list(currency string) catalog.PriceList {
	out := catalog.PriceList{Currency: currency, Free: p.Free, Photo: p.Photo, Event: p.Event}
	for _, b := range p.Bundles {
		out.Bundles = append(out.Bundles, catalog.Bundle(b))
	}
	return out
}

// countsBody is how many photographs an event has.
type countsBody struct {
	Ready      int  `json:"ready" doc:"To be seen and bought."`
	Processing *int `json:"processing,omitempty" doc:"For its creator: not developed yet."`
	Unreadable *int `json:"unreadable,omitempty" doc:"For its creator: each says why."`
	Hidden     *int `json:"hidden,omitempty" doc:"For its creator: taken down."`
}

type eventBody struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	Slug          string     `json:"slug" doc:"The last part of its address."`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Status        string     `json:"status" enum:"draft,on_sale,closed"`
	Visibility    string     `json:"visibility" enum:"public,unlisted,code"`
	AccessCode    string     `json:"access_code,omitempty" doc:"For its creator only."`
	Timezone      string     `json:"timezone" doc:"A zone of the IANA database."`
	StartsLocal   string     `json:"starts_local" doc:"The clock on the wall there."`
	EndsLocal     string     `json:"ends_local"`
	StartsAt      time.Time  `json:"starts_at" doc:"The same moment, in UTC."`
	EndsAt        time.Time  `json:"ends_at"`
	Currency      string     `json:"currency" doc:"ISO 4217. All prices are minor units of it."`
	Prices        pricesBody `json:"prices"`
	CommissionBps *int       `json:"commission_bps,omitempty" doc:"For its creator only: the platform's share of each sale, in hundredths of a percent."`
	Photos        countsBody `json:"photos"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

func showEvent(e catalog.Event, c catalog.Counts, who catalog.By) eventBody {
	out := eventBody{
		ID: e.ID, Slug: e.Slug, Title: e.Title, Description: e.Description, Status: string(e.Status), Visibility: string(e.Visibility),
		Timezone: e.Starts.Zone, StartsLocal: e.Starts.LocalText(), EndsLocal: e.Ends.LocalText(), StartsAt: e.Starts.At, EndsAt: e.Ends.At,
		Currency: e.Prices.Currency, Prices: showPrices(e.Prices), Photos: countsBody{Ready: c.Ready},
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if e.OwnedBy(who) {
		out.AccessCode, out.CommissionBps = e.AccessCode, &e.CommissionBps
		out.Photos.Processing, out.Photos.Unreadable, out.Photos.Hidden = &c.Processing, &c.Unreadable, &c.Hidden
	}
	return out
}

type eventOutput struct{ Body eventBody }

func (d Deps) showEvents(ctx context.Context, events []catalog.Event) ([]eventBody, error) {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	counts, err := d.Catalog.CountPhotos(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]eventBody, len(events))
	for i, e := range events {
		out[i] = showEvent(e, counts[e.ID], by(ctx))
	}
	return out, nil
}

func (d Deps) eventOutput(ctx context.Context, e catalog.Event, err error) (*eventOutput, error) {
	if err != nil {
		return nil, err
	}
	shown, err := d.showEvents(ctx, []catalog.Event{e})
	if err != nil {
		return nil, err
	}
	return &eventOutput{shown[0]}, nil
}

func registerEvents(api huma.API, d Deps) {
	d.registerEventReads(api)
	d.registerEventWrites(api)
}

func (d Deps) registerEventReads(api huma.API) {
	tags := []string{"Events"}

	type list struct{ Body Page[eventBody] }
	register(api, public, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/events", Tags: tags,
		Summary: "List the public events on sale, latest start first",
	}, func(ctx context.Context, in *PageQuery) (*list, error) {
		after, err := position(in.Cursor, catalog.ListCursor{})
		if err != nil {
			return nil, err
		}
		events, err := d.Catalog.Listed(ctx, after, in.Limit+1)
		if err != nil {
			return nil, err
		}
		rows, err := d.showEvents(ctx, events)
		if err != nil {
			return nil, err
		}
		return &list{page(rows, in.Limit, func(e eventBody) catalog.ListCursor { return catalog.ListCursor{Starts: e.StartsAt, ID: e.ID} }, same)}, nil
	})

	register(api, creator, huma.Operation{
		OperationID: "list-my-events", Method: http.MethodGet, Path: "/me/events", Tags: tags,
		Summary: "List my events, newest first", Description: "Drafts and closed events, too.",
	}, func(ctx context.Context, in *PageQuery) (*list, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		events, err := d.Catalog.OfCreator(ctx, edge.Actor(ctx).AccountID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		rows, err := d.showEvents(ctx, events)
		if err != nil {
			return nil, err
		}
		return &list{page(rows, in.Limit, func(e eventBody) uuid.UUID { return e.ID }, same)}, nil
	})

	type get struct {
		EventPath
		CodeInput
	}
	register(api, public, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: "/events/{event}", Tags: tags, Summary: "See an event",
		Description: "A draft is seen only by its creator. An event with an access code is answered with event.code_needed until the code comes along.",
	}, func(ctx context.Context, in *get) (*eventOutput, error) {
		e, err := d.event(ctx, in.Event, in.code())
		return d.eventOutput(ctx, e, err)
	})

	type quote struct {
		EventPath
		CodeInput
		Photos int  `query:"photos" minimum:"0" maximum:"10000" doc:"How many photographs."`
		Whole  bool `query:"whole_event" doc:"All of the event instead."`
	}
	type quoteLine struct {
		Kind  catalog.LineKind `json:"kind" enum:"photo,bundle,event"`
		Price int64            `json:"price" doc:"Minor units of the currency."`
	}
	type quoted struct {
		Body struct {
			Currency   string      `json:"currency"`
			Total      int64       `json:"total" doc:"The least that the price list allows; send it back when you order."`
			Lines      []quoteLine `json:"lines" nullable:"false" doc:"They add up to the total."`
			WholeEvent int64       `json:"whole_event,omitempty" doc:"What the whole event costs, if that is no more."`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "quote", Method: http.MethodGet, Path: "/events/{event}/quote", Tags: tags, Summary: "Ask what a selection costs",
	}, func(ctx context.Context, in *quote) (*quoted, error) {
		e, err := d.event(ctx, in.Event, in.code())
		if err != nil {
			return nil, err
		}
		q, err := catalog.QuoteFor(e.Prices, in.Photos, in.Whole)
		if err != nil {
			return nil, err
		}
		out := &quoted{}
		out.Body.Currency, out.Body.Total, out.Body.WholeEvent = q.Currency, q.Total, q.WholeEvent
		out.Body.Lines = make([]quoteLine, len(q.Lines))
		for i, l := range q.Lines {
			out.Body.Lines[i] = quoteLine{Kind: l.Kind, Price: l.Price}
		}
		return out, nil
	})
}

func same[T any](v T) T { return v }

func (d Deps) registerEventWrites(api huma.API) {
	tags := []string{"Events"}

	type create struct {
		Body struct {
			Title       string     `json:"title" minLength:"3" maxLength:"100"`
			Slug        string     `json:"slug,omitempty" maxLength:"80" doc:"The last part of its address; made from the title when left out."`
			Description string     `json:"description,omitempty" maxLength:"1000"`
			Visibility  string     `json:"visibility,omitempty" enum:"public,unlisted,code" default:"public" doc:"Who may see it: everybody, whoever has the address, or whoever has the address and the code."`
			AccessCode  string     `json:"access_code,omitempty" maxLength:"32" doc:"For visibility code: 4 to 32 characters; capitals do not matter."`
			Timezone    string     `json:"timezone" maxLength:"64" doc:"A zone of the IANA database, such as Europe/Paris."`
			StartsLocal string     `json:"starts_local" maxLength:"40" doc:"The clock on the wall there, such as 2026-05-30T18:30. Where clocks are set back, a time comes twice: then add the offset, 2026-10-25T02:30+01:00."`
			EndsLocal   string     `json:"ends_local" maxLength:"40"`
			Currency    string     `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217. It cannot change once something was ordered."`
			Prices      pricesBody `json:"prices,omitempty"`
		}
	}
	register(api, creator, huma.Operation{
		OperationID: "create-event", Method: http.MethodPost, Path: "/events", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Put up an event", Description: "It begins as a draft, which only you see. Publish it to sell.",
	}, func(ctx context.Context, in *create) (*eventOutput, error) {
		b := in.Body
		e, err := d.Catalog.CreateEvent(ctx, catalog.NewEvent{
			CreatorID: edge.Actor(ctx).AccountID, Slug: b.Slug, Title: b.Title, Description: b.Description,
			Visibility: catalog.Visibility(b.Visibility), AccessCode: b.AccessCode, CommissionBps: d.CommissionBps,
			Zone: b.Timezone, Starts: b.StartsLocal, Ends: b.EndsLocal, Prices: b.Prices.list(b.Currency),
		})
		return d.eventOutput(ctx, e, err)
	})

	type edit struct {
		EventPath
		Body struct {
			Title       *string     `json:"title,omitempty" maxLength:"100"`
			Slug        *string     `json:"slug,omitempty" maxLength:"80"`
			Description *string     `json:"description,omitempty" maxLength:"1000"`
			Visibility  *string     `json:"visibility,omitempty" enum:"public,unlisted,code"`
			AccessCode  *string     `json:"access_code,omitempty" maxLength:"32"`
			Timezone    *string     `json:"timezone,omitempty" maxLength:"64"`
			StartsLocal *string     `json:"starts_local,omitempty" maxLength:"40"`
			EndsLocal   *string     `json:"ends_local,omitempty" maxLength:"40"`
			Currency    string      `json:"currency,omitempty" maxLength:"3" doc:"Together with prices in it."`
			Prices      *pricesBody `json:"prices,omitempty" doc:"Replaces the whole price list."`
		}
	}
	register(api, signedIn, huma.Operation{
		OperationID: "edit-event", Method: http.MethodPatch, Path: "/events/{event}", Tags: tags,
		Summary: "Change an event of mine", Description: "What is left out stays as it is.",
	}, func(ctx context.Context, in *edit) (*eventOutput, error) {
		b := in.Body
		change := catalog.EventEdit{
			Title: b.Title, Slug: b.Slug, Description: b.Description, Visibility: (*catalog.Visibility)(b.Visibility), AccessCode: b.AccessCode,
			Zone: b.Timezone, Starts: b.StartsLocal, Ends: b.EndsLocal,
		}
		switch {
		case b.Prices != nil:
			list := b.Prices.list(b.Currency)
			change.Prices = &list
		case b.Currency != "":
			return nil, errCurrencyAlone
		}
		return d.changeEvent(ctx, in.Event, func(e catalog.Event) (catalog.Event, error) {
			return d.Catalog.UpdateEvent(ctx, by(ctx), e.ID, change)
		})
	})

	type prices struct {
		EventPath
		Body pricesBody
	}
	register(api, signedIn, huma.Operation{
		OperationID: "set-prices", Method: http.MethodPut, Path: "/events/{event}/prices", Tags: tags,
		Summary: "Replace the price list of an event of mine", Description: "Orders that were made keep their prices.",
	}, func(ctx context.Context, in *prices) (*eventOutput, error) {
		list := in.Body.list("")
		return d.changeEvent(ctx, in.Event, func(e catalog.Event) (catalog.Event, error) {
			return d.Catalog.UpdateEvent(ctx, by(ctx), e.ID, catalog.EventEdit{Prices: &list})
		})
	})

	for _, move := range []struct {
		name, summary string
		do            func(context.Context, catalog.By, uuid.UUID) (catalog.Event, error)
	}{
		{"publish", "Put a draft of mine on sale", func(ctx context.Context, who catalog.By, eventID uuid.UUID) (catalog.Event, error) {
			return d.Catalog.Publish(ctx, who, eventID)
		}},
		{"close", "End the sale of an event of mine", func(ctx context.Context, who catalog.By, eventID uuid.UUID) (catalog.Event, error) {
			return d.Catalog.Close(ctx, who, eventID)
		}},
	} {
		register(api, signedIn, huma.Operation{
			OperationID: move.name + "-event", Method: http.MethodPost, Path: "/events/{event}/" + move.name, Tags: tags,
			Summary: move.summary, Description: "Asking again changes nothing. There is no way back.", DefaultStatus: http.StatusOK,
		}, func(ctx context.Context, in *EventPath) (*eventOutput, error) {
			return d.changeEvent(ctx, in.Event, func(e catalog.Event) (catalog.Event, error) { return move.do(ctx, by(ctx), e.ID) })
		})
	}

	register(api, signedIn, huma.Operation{
		OperationID: "delete-event", Method: http.MethodDelete, Path: "/events/{event}", Tags: tags,
		Summary: "Delete a draft or a closed event of mine", Description: "Nobody finds it any more. Who bought photographs in it keeps them.",
	}, func(ctx context.Context, in *EventPath) (*struct{}, error) {
		e, err := d.ownEvent(ctx, in.Event)
		if err != nil {
			return nil, err
		}
		return nil, d.Catalog.DeleteEvent(ctx, by(ctx), e.ID)
	})
}

var errCurrencyAlone = errInvalid.WithFields(field("currency", "Send the prices in this currency along with it."))

// ownEvent reads an event that the caller owns.
func (d Deps) ownEvent(ctx context.Context, name string) (catalog.Event, error) {
	e, err := d.event(ctx, name, "")
	if err != nil {
		return catalog.Event{}, err
	}
	if !e.OwnedBy(by(ctx)) {
		return catalog.Event{}, catalog.ErrNotYours
	}
	return e, nil
}

func (d Deps) changeEvent(ctx context.Context, name string, change func(catalog.Event) (catalog.Event, error)) (*eventOutput, error) {
	e, err := d.ownEvent(ctx, name)
	if err != nil {
		return nil, err
	}
	e, err = change(e)
	return d.eventOutput(ctx, e, err)
}
