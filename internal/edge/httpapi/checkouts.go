package httpapi

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/order"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
)

type lineBody struct {
	ID      uuid.UUID  `json:"id" format:"uuid"`
	Kind    string     `json:"kind" enum:"photo,bundle,event"`
	PhotoID *uuid.UUID `json:"photo_id,omitempty" format:"uuid"`
	Name    string     `json:"name"`
	Price   int64      `json:"price" doc:"Minor units of the order's currency."`
	Access  bool       `json:"access" doc:"Whether the buyer can download it now."`
}

type orderBody struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	EventID   uuid.UUID  `json:"event_id" format:"uuid"`
	State     string     `json:"state" enum:"created,awaiting_payment,paid,partially_refunded,refunded,disputed,expired,canceled,review"`
	Total     int64      `json:"total" doc:"Minor units of the currency."`
	Refunded  int64      `json:"refunded" doc:"What came back of it."`
	Currency  string     `json:"currency"`
	Email     string     `json:"email,omitempty"`
	URL       string     `json:"url,omitempty" doc:"The hosted page, while the order waits for money."`
	CreatedAt time.Time  `json:"created_at"`
	PaidAt    *time.Time `json:"paid_at,omitempty"`
	Review    string     `json:"review,omitempty" doc:"Why a person looks at it; for operators."`
	Lines     []lineBody `json:"lines,omitempty"`
}

func showOrder(o order.Order) orderBody {
	return orderBody{
		ID: o.ID, EventID: o.EventID, State: string(o.State), Total: o.Gross, Refunded: o.Refunded, Currency: o.Currency,
		Email: o.Email, CreatedAt: o.CreatedAt, PaidAt: o.PaidAt,
	}
}

// showFacts adds what only the whole order tells.
func showFacts(f *order.Facts, operator bool) orderBody {
	b := showOrder(f.Order)
	if operator {
		b.Review = f.Order.Review
	}
	if f.Order.State == order.AwaitingPayment {
		b.URL = f.PayURL()
	}
	d := order.Derive(f)
	for _, l := range f.Lines {
		b.Lines = append(b.Lines, lineBody{ID: l.ID, Kind: string(l.Kind), PhotoID: l.PhotoID, Name: l.Name, Price: l.Price, Access: d.Access(l.ID)})
	}
	return b
}

func registerCheckouts(api huma.API, d Deps) {
	tags := []string{"Buying"}

	type newCheckout struct {
		KeyHeader
		Body struct {
			EventID    uuid.UUID   `json:"event_id" format:"uuid"`
			Photos     []uuid.UUID `json:"photos,omitempty" maxItems:"500" doc:"The photographs to buy. Leave it out for the whole event."`
			WholeEvent bool        `json:"whole_event,omitempty" doc:"Buy all photographs of the event, later ones too."`
			Total      int64       `json:"total" minimum:"0" doc:"The total that was shown, in minor units. Another price is refused, not charged."`
			Currency   string      `json:"currency" minLength:"3" maxLength:"3"`
			Email      string      `json:"email,omitempty" maxLength:"254" doc:"Where the receipt goes; an account's own address when left out."`
			Provider   string      `json:"provider,omitempty" maxLength:"20" doc:"How to pay; the first way that takes the total when left out."`
			Country    string      `json:"country,omitempty" pattern:"^[A-Z]{2}$" doc:"Where the payer is, ISO 3166-1 alpha-2: some ways to pay take the money of some countries only."`
			AccessCode string      `json:"access_code,omitempty" maxLength:"64" doc:"For events that ask for one."`
		}
	}
	type checkoutAnswer struct {
		Status      int
		ContentType string `header:"Content-Type"`
		Replayed    string `header:"Idempotency-Replayed" doc:"true when this answer was given before."`
		Body        []byte
	}
	schema := huma.SchemaFromType(api.OpenAPI().Components.Schemas, reflect.TypeFor[checkout.Result]())
	register(api, known, huma.Operation{
		OperationID: "create-checkout", Method: http.MethodPost, Path: "/checkouts", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Order photographs",
		Description: "Makes an order and a page to pay it on. The same request with the same Idempotency-Key is answered " +
			"with the same bytes and orders nothing twice, for 35 days.",
		Responses: map[string]*huma.Response{"201": {
			Description: "The order, and where to pay it.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}},
	}, func(ctx context.Context, in *newCheckout) (*checkoutAnswer, error) {
		key, err := edge.IdempotencyKey(in.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		email := in.Body.Email
		if email != "" {
			if email, err = account.ParseEmail(email); err != nil {
				return nil, err
			}
		}
		if in.Body.Total == 0 {
			if err := d.Limits.FreeReceipt(ctx, email); err != nil {
				return nil, err
			}
		}
		again, err := d.Limits.Checkout(ctx, edge.Actor(ctx).ID)
		if err != nil {
			return nil, err
		}
		if in.Body.AccessCode != "" {
			// Read as anybody would, where guesses are counted.
			if _, err := d.Catalog.Event(ctx, by(ctx), in.Body.EventID, in.Body.AccessCode); err != nil {
				return nil, err
			}
		}
		a, err := d.Checkout.Create(ctx, checkout.Input{
			Buyer: edge.Actor(ctx), Key: key, EventID: in.Body.EventID, AccessCode: in.Body.AccessCode, Photos: in.Body.Photos,
			WholeEvent: in.Body.WholeEvent, Total: in.Body.Total, Currency: in.Body.Currency, Email: email, Provider: in.Body.Provider,
			Country: in.Body.Country,
		})
		if a.Replayed || errors.Is(err, checkout.ErrRunning) {
			again()
		}
		if err != nil {
			return nil, err
		}
		out := &checkoutAnswer{Status: a.Status, ContentType: "application/json", Body: a.Body}
		if a.Status >= http.StatusBadRequest {
			out.ContentType = edge.MediaType
		}
		if a.Replayed {
			out.Replayed = "true"
		}
		return out, nil
	})

	registerWays(api, d, tags)

	type oneOrder struct{ Body orderBody }
	register(api, known, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/orders/{id}", Tags: tags, Summary: "See an order of mine",
		Description: "Operators see every order.",
	}, func(ctx context.Context, in *IDPath) (*oneOrder, error) {
		f, err := d.order(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &oneOrder{showFacts(f, edge.Actor(ctx).Has(account.Operator))}, nil
	})

	register(api, known, huma.Operation{
		OperationID: "refresh-order", Method: http.MethodPost, Path: "/orders/{id}/refresh", Tags: tags,
		Summary: "Ask the payment provider about an order of mine now", DefaultStatus: http.StatusOK,
		Description: "For a browser that returns from paying: the truth without waiting for the provider's message. Asking again does nothing more.",
	}, func(ctx context.Context, in *IDPath) (*oneOrder, error) {
		f, err := d.order(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if err := d.Checkout.Refresh(ctx, f.Order.ID); err != nil {
			d.Log.WarnContext(ctx, "a provider was not asked", "order", f.Order.ID, "error", err)
		}
		if f, err = d.Checkout.Order(ctx, f.Order.ID); err != nil {
			return nil, err
		}
		return &oneOrder{showFacts(f, edge.Actor(ctx).Has(account.Operator))}, nil
	})

	type orderList struct{ Body Page[orderBody] }
	register(api, known, huma.Operation{
		OperationID: "list-orders", Method: http.MethodGet, Path: "/orders", Tags: tags, Summary: "List my orders, newest first",
	}, func(ctx context.Context, in *PageQuery) (*orderList, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := d.Checkout.Orders(ctx, edge.Actor(ctx).ID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return &orderList{page(rows, in.Limit, func(o order.Order) uuid.UUID { return o.ID }, showOrder)}, nil
	})
}

type wayBody struct {
	Provider   string   `json:"provider" doc:"Its name, as a checkout takes it."`
	Takes      bool     `json:"takes" doc:"Whether the total can be paid there."`
	Methods    []string `json:"methods" nullable:"false" doc:"How, in words."`
	NeedsEmail bool     `json:"needs_email,omitempty" doc:"A checkout there needs the payer's address."`
	Reason     string   `json:"reason,omitempty" enum:"currency,country,minimum,maximum,step" doc:"Why it cannot."`
	Limit      int64    `json:"limit,omitempty" doc:"The minimum, the maximum or the step that is meant, in minor units."`
	Detail     string   `json:"detail,omitempty" doc:"Why it cannot, in words."`
}

// registerWays tells how a selection can be paid before it is ordered.
func registerWays(api huma.API, d Deps, tags []string) {
	type question struct {
		EventPath
		CodeInput
		Photos  int    `query:"photos" minimum:"0" maximum:"10000" doc:"How many photographs."`
		Whole   bool   `query:"whole_event" doc:"All of the event instead."`
		Country string `query:"country" pattern:"^([A-Z]{2})?$" doc:"Where the payer is, ISO 3166-1 alpha-2; left out: what can be paid from some country."`
	}
	type answer struct {
		Body struct {
			Currency string    `json:"currency"`
			Total    int64     `json:"total" doc:"What the selection costs, in minor units of the currency."`
			Ways     []wayBody `json:"ways" nullable:"false" doc:"In the order in which a checkout without a provider tries them. Empty where nothing is to be paid."`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "payment-methods", Method: http.MethodGet, Path: "/events/{event}/payment-methods", Tags: tags,
		Summary: "Ask how a selection can be paid", Description: "It is said before paying what each provider takes, and if not, why.",
	}, func(ctx context.Context, in *question) (*answer, error) {
		e, err := d.event(ctx, in.Event, in.code())
		if err != nil {
			return nil, err
		}
		q, err := catalog.QuoteFor(e.Prices, in.Photos, in.Whole)
		if err != nil {
			return nil, err
		}
		out := &answer{}
		out.Body.Currency, out.Body.Total, out.Body.Ways = q.Currency, q.Total, []wayBody{}
		if q.Total == 0 {
			return out, nil
		}
		for _, w := range d.Checkout.Ways(q.Currency, q.Total, in.Country) {
			b := wayBody{Provider: w.Provider, Takes: w.Takes, Methods: w.Methods, NeedsEmail: w.NeedsEmail, Reason: w.Reason, Limit: w.Limit}
			if !w.Takes {
				b.Detail = checkout.Title(w.Provider) + " " + w.Why + "."
			}
			if b.Methods == nil {
				b.Methods = []string{}
			}
			out.Body.Ways = append(out.Body.Ways, b)
		}
		return out, nil
	})
}

// order reads an order that the caller may see: its buyer, or an operator.
// Others are told that there is none.
func (d Deps) order(ctx context.Context, id string) (*order.Facts, error) {
	orderID, err := pathUUID("id", id)
	if err != nil {
		return nil, err
	}
	f, err := d.Checkout.Order(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if who := edge.Actor(ctx); f.Order.BuyerID != who.ID && !who.Has(account.Operator) {
		return nil, checkout.ErrNoOrder
	}
	return f, nil
}
