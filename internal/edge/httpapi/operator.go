package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
	"proofroom/internal/flow/inbox"
)

// Operating is what operators work with.
type Operating struct {
	Desk *inbox.Desk
	// Orders lists orders, newest first.
	Orders func(ctx context.Context, f order.Filter) ([]order.Found, error)
}

type adviceBody struct {
	Happened string `json:"happened"`
	Safe     string `json:"safe"`
	Do       string `json:"do"`
}

// StuckEvent is exported for being embedded.
type StuckEvent struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	Provider    string     `json:"provider"`
	Account     string     `json:"account"`
	EventID     string     `json:"event_id" doc:"The provider's own id of the event."`
	EventType   string     `json:"event_type"`
	ObjectID    string     `json:"object_id" doc:"The provider's id of what the event is about."`
	Class       string     `json:"class" doc:"fact: its own signed body counts; pointer: what the provider says when asked; reply: an answer to a call of ours."`
	State       string     `json:"state" doc:"failed: tried again by itself; dead: given up, a person decides."`
	Note        string     `json:"note" doc:"Why."`
	Attempts    int        `json:"attempts"`
	Lost        int        `json:"lost" doc:"How often in a row the provider did not answer. This counts no attempt."`
	Replays     int        `json:"replays" doc:"How often operators had it tried anew. Send it back to replay."`
	ReceivedAt  time.Time  `json:"received_at"`
	NextTryAt   *time.Time `json:"next_try_at,omitempty"`
	FinishedAt  *time.Time `json:"finished_at,omitempty"`
	Explanation adviceBody `json:"explanation"`
}

func showStuck(s payment.Stored) StuckEvent {
	out := StuckEvent{
		ID: s.ID, Provider: s.Provider, Account: s.Account, EventID: s.EventID, EventType: s.EventType, ObjectID: s.ObjectID,
		Class: string(s.Class), State: s.State, Note: s.Note, Attempts: s.Attempts, Lost: s.Lost, Replays: s.Replays,
		ReceivedAt: s.ReceivedAt, FinishedAt: s.DoneAt, Explanation: adviceBody(inbox.Advise(s)),
	}
	if s.State == payment.StateFailed {
		out.NextTryAt = &s.NextAt
	}
	return out
}

type factBody struct {
	Kind       string     `json:"kind" doc:"attempt, payment, refund, dispute or dispute_money."`
	Status     string     `json:"status"`
	AttemptID  *uuid.UUID `json:"attempt_id,omitempty" format:"uuid"`
	Page       string     `json:"page,omitempty" doc:"The provider's id of the hosted page."`
	PaymentID  string     `json:"payment_id,omitempty"`
	RefundID   string     `json:"refund_id,omitempty"`
	DisputeID  string     `json:"dispute_id,omitempty"`
	MovementID string     `json:"movement_id,omitempty"`
	Outcome    string     `json:"outcome,omitempty"`
	Amount     int64      `json:"amount,omitempty" doc:"Minor units."`
	Currency   string     `json:"currency,omitempty"`
}

func showStated(facts []payment.Observation) []factBody {
	out := make([]factBody, len(facts))
	for i, o := range facts {
		out[i] = factBody{
			Kind: string(o.Kind), Status: o.Status, Page: o.Ref, PaymentID: o.PaymentID, RefundID: o.RefundID,
			DisputeID: o.DisputeID, MovementID: o.MovementID, Outcome: o.Outcome, Amount: o.Amount, Currency: o.Currency,
		}
		if o.AttemptID != uuid.Nil {
			out[i].AttemptID = &facts[i].AttemptID
		}
	}
	return out
}

type evidenceBody struct {
	StuckEvent
	Facts        []factBody `json:"facts" nullable:"false" doc:"What it says; of a pointer, what its last fetch brought."`
	Body         string     `json:"body" doc:"As it was received, except that values which open something are not shown."`
	BodyEncoding string     `json:"body_encoding" enum:"text,base64" doc:"base64: the body is not text."`
	SaidAt       *time.Time `json:"said_at,omitempty" doc:"The provider's own time of the event."`
	FetchedAt    *time.Time `json:"fetched_at,omitempty"`
}

func showEvidence(e payment.Evidence) evidenceBody {
	out := evidenceBody{
		StuckEvent: showStuck(e.Stored), Facts: showStated(e.Facts), Body: string(e.Body), BodyEncoding: "text", SaidAt: e.SaidAt, FetchedAt: e.FetchedAt,
	}
	if !utf8.Valid(e.Body) {
		out.Body, out.BodyEncoding = base64.StdEncoding.EncodeToString(e.Body), "base64"
	}
	return out
}

type namedLineBody struct {
	ID    uuid.UUID `json:"id" format:"uuid"`
	Name  string    `json:"name"`
	Price int64     `json:"price" doc:"Minor units."`
}

func showNamedLines(lines []order.Line) []namedLineBody {
	out := make([]namedLineBody, len(lines))
	for i, l := range lines {
		out[i] = namedLineBody{ID: l.ID, Name: l.Name, Price: l.Price}
	}
	return out
}

type entryBody struct {
	Key      string `json:"key"`
	Kind     string `json:"kind"`
	Gross    int64  `json:"gross" doc:"Minor units."`
	Currency string `json:"currency"`
}

func showEntries(entries []order.Entry) []entryBody {
	out := make([]entryBody, len(entries))
	for i, e := range entries {
		out[i] = entryBody{Key: e.Key, Kind: e.Kind, Gross: e.Gross, Currency: e.Currency}
	}
	return out
}

type wantedRefundBody struct {
	Kind      string `json:"kind"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount" doc:"Minor units."`
	Currency  string `json:"currency"`
}

func showRefunds(requests []order.Request) []wantedRefundBody {
	out := make([]wantedRefundBody, len(requests))
	for i, r := range requests {
		out[i] = wantedRefundBody{Kind: string(r.Kind), PaymentID: r.Payment.ID, Amount: r.Amount, Currency: r.Currency}
	}
	return out
}

type orderEffectBody struct {
	OrderID  uuid.UUID          `json:"order_id" format:"uuid"`
	Before   string             `json:"before" doc:"The order's state now."`
	After    string             `json:"after" doc:"And afterwards."`
	Currency string             `json:"currency"`
	Review   string             `json:"review" doc:"Why a person would have to look at it afterwards."`
	Gained   []namedLineBody    `json:"gained" nullable:"false" doc:"Lines whose access would begin."`
	Lost     []namedLineBody    `json:"lost" nullable:"false" doc:"Lines whose access would end."`
	Entries  []entryBody        `json:"entries" nullable:"false" doc:"Ledger entries that would be new."`
	Refunds  []wantedRefundBody `json:"refunds" nullable:"false" doc:"Money that would be asked back."`
}

type effectBody struct {
	Fails   bool              `json:"fails" doc:"The try would fail, and nothing would change."`
	Verdict string            `json:"verdict" doc:"What would become of the event: done, ignored, or retry if what it needs is still missing."`
	Note    string            `json:"note"`
	Facts   []factBody        `json:"facts" nullable:"false" doc:"What would be applied; of a pointer, what the provider says now."`
	Orders  []orderEffectBody `json:"orders" nullable:"false" doc:"Orders that would change."`
}

func showEffect(e inbox.Effect) effectBody {
	out := effectBody{Fails: e.Fails, Verdict: string(e.Verdict), Note: e.Note, Facts: showStated(e.Facts), Orders: make([]orderEffectBody, len(e.Orders))}
	for i, o := range e.Orders {
		out.Orders[i] = orderEffectBody{
			OrderID: o.ID, Before: string(o.Before), After: string(o.After), Currency: o.Currency, Review: o.Review,
			Gained: showNamedLines(o.Gained), Lost: showNamedLines(o.Lost), Entries: showEntries(o.Entries), Refunds: showRefunds(o.Refunds),
		}
	}
	return out
}

func registerOperatorInbox(api huma.API, d Deps) {
	tags := []string{"Operating"}
	desk := d.Operating.Desk

	type stuckQuery struct {
		PageQuery
		State string `query:"state" enum:"failed,dead" doc:"Only those. Left out: both."`
	}
	type stuckList struct{ Body Page[StuckEvent] }
	register(api, operator, huma.Operation{
		OperationID: "list-stuck-events", Method: http.MethodGet, Path: "/operator/inbox", Tags: tags,
		Summary: "List events of providers that could not be applied, newest first",
	}, func(ctx context.Context, in *stuckQuery) (*stuckList, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := desk.Stuck(ctx, in.State, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return &stuckList{page(rows, in.Limit, func(s payment.Stored) uuid.UUID { return s.ID }, showStuck)}, nil
	})

	type evidence struct{ Body evidenceBody }
	register(api, operator, huma.Operation{
		OperationID: "get-event-evidence", Method: http.MethodGet, Path: "/operator/inbox/{id}", Tags: tags,
		Summary: "See an event with its evidence",
	}, func(ctx context.Context, in *IDPath) (*evidence, error) {
		rowID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		e, err := desk.Evidence(ctx, rowID)
		if err != nil {
			return nil, err
		}
		return &evidence{showEvidence(e)}, nil
	})

	type effect struct{ Body effectBody }
	register(api, operator, huma.Operation{
		OperationID: "preview-replay", Method: http.MethodPost, Path: "/operator/inbox/{id}/preview", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "See what another try of an event would change", Description: "The try is real and undone. Of a pointer the provider is asked first.",
	}, func(ctx context.Context, in *IDPath) (*effect, error) {
		rowID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		e, err := desk.Preview(ctx, rowID)
		if err != nil {
			return nil, err
		}
		return &effect{showEffect(e)}, nil
	})

	type replay struct {
		IDPath
		Body struct {
			Replays int    `json:"replays" minimum:"0" doc:"The event's replays as you saw them. Sent twice, the second is refused."`
			Reason  string `json:"reason" minLength:"1" maxLength:"500" doc:"Kept in the audit log."`
		}
	}
	register(api, operator, huma.Operation{
		OperationID: "replay-event", Method: http.MethodPost, Path: "/operator/inbox/{id}/replay", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Have an event tried anew", Description: "Answers with how it stands after the try. What a pointer names is fetched anew.",
	}, func(ctx context.Context, in *replay) (*evidence, error) {
		rowID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		e, err := desk.Replay(ctx, edge.Actor(ctx).AccountID, rowID, in.Body.Replays, in.Body.Reason)
		if err != nil {
			return nil, err
		}
		return &evidence{showEvidence(e)}, nil
	})
}
