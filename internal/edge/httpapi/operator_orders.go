package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/order"
	"proofroom/internal/edge"
	"proofroom/internal/flow/refund"
)

type foundOrderBody struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	EventID   uuid.UUID  `json:"event_id" format:"uuid"`
	Email     string     `json:"email"`
	State     string     `json:"state"`
	Review    string     `json:"review,omitempty" doc:"Why a person must look at it."`
	Currency  string     `json:"currency"`
	Gross     int64      `json:"gross" doc:"What was sold, in minor units."`
	Refunded  int64      `json:"refunded"`
	CreatedAt time.Time  `json:"created_at"`
	PaidAt    *time.Time `json:"paid_at,omitempty"`
}

func showFoundOrder(o order.Found) foundOrderBody {
	return foundOrderBody{
		ID: o.ID, EventID: o.EventID, Email: o.Email, State: string(o.State), Review: o.Review, Currency: o.Currency, Gross: o.Gross,
		Refunded: o.Refunded, CreatedAt: o.CreatedAt, PaidAt: o.PaidAt,
	}
}

type evidenceLine struct {
	ID     uuid.UUID `json:"id" format:"uuid"`
	Name   string    `json:"name"`
	Price  int64     `json:"price" doc:"Minor units."`
	Access string    `json:"access" enum:"open,paused,none" doc:"paused: while a dispute is open."`
}

type evidenceAttempt struct {
	ID       uuid.UUID `json:"id" format:"uuid"`
	Provider string    `json:"provider"`
	Account  string    `json:"account"`
	Status   string    `json:"status"`
	Page     string    `json:"page,omitempty" doc:"The provider's id of the hosted page."`
}

type evidencePayment struct {
	ID       string `json:"id" doc:"The provider's."`
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Status   string `json:"status"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type evidenceRefund struct {
	ID        string     `json:"id" doc:"The provider's."`
	PaymentID string     `json:"payment_id"`
	RequestID *uuid.UUID `json:"request_id,omitempty" format:"uuid" doc:"Absent: begun at the provider."`
	Status    string     `json:"status"`
	Amount    int64      `json:"amount"`
	Currency  string     `json:"currency"`
}

type evidenceRequest struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	PaymentID string    `json:"payment_id"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
	Note      string    `json:"note,omitempty"`
}

type evidenceDispute struct {
	ID        string `json:"id" doc:"The provider's."`
	PaymentID string `json:"payment_id"`
	Status    string `json:"status"`
	Outcome   string `json:"outcome,omitempty"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

type optionBody struct {
	Kind     string          `json:"kind" doc:"return: have money that bought nothing given back; end_lines: say which lines a partial refund ended; withdraw: end a request that was never made there; acknowledge: it was looked at."`
	Subject  string          `json:"subject" doc:"Names the reason. Send it back to decide."`
	Why      string          `json:"why"`
	Amount   int64           `json:"amount" doc:"What it is about, in minor units; 0: no money."`
	Currency string          `json:"currency,omitempty"`
	Lines    []namedLineBody `json:"lines" nullable:"false" doc:"end_lines: those to choose from."`
}

type orderEvidenceBody struct {
	ID        uuid.UUID         `json:"id" format:"uuid"`
	EventID   uuid.UUID         `json:"event_id" format:"uuid"`
	Email     string            `json:"email"`
	State     string            `json:"state"`
	Currency  string            `json:"currency"`
	Gross     int64             `json:"gross" doc:"What was sold, in minor units."`
	Refunded  int64             `json:"refunded"`
	CreatedAt time.Time         `json:"created_at"`
	PaidAt    *time.Time        `json:"paid_at,omitempty"`
	Lines     []evidenceLine    `json:"lines" nullable:"false"`
	Attempts  []evidenceAttempt `json:"attempts" nullable:"false"`
	Payments  []evidencePayment `json:"payments" nullable:"false"`
	Refunds   []evidenceRefund  `json:"refunds" nullable:"false"`
	Requests  []evidenceRequest `json:"requests" nullable:"false" doc:"Money that we asked back."`
	Disputes  []evidenceDispute `json:"disputes" nullable:"false"`
	Decisions map[string]string `json:"decisions" doc:"What was decided once, by subject."`
	Options   []optionBody      `json:"options" nullable:"false" doc:"What you can decide now."`
}

func showOrderEvidence(f *order.Facts, options []refund.Option) orderEvidenceBody {
	d := order.Derive(f)
	out := orderEvidenceBody{
		ID: f.Order.ID, EventID: f.Order.EventID, Email: f.Order.Email, State: string(f.Order.State), Currency: f.Order.Currency,
		Gross: f.Order.Gross, Refunded: f.Order.Refunded, CreatedAt: f.Order.CreatedAt, PaidAt: f.Order.PaidAt, Decisions: f.Decisions,
		Lines: []evidenceLine{}, Attempts: []evidenceAttempt{}, Payments: []evidencePayment{}, Refunds: []evidenceRefund{},
		Requests: []evidenceRequest{}, Disputes: []evidenceDispute{}, Options: []optionBody{},
	}
	for _, l := range f.Lines {
		access := "none"
		switch {
		case d.Live[l.ID] && d.Frozen:
			access = "paused"
		case d.Live[l.ID]:
			access = "open"
		}
		out.Lines = append(out.Lines, evidenceLine{ID: l.ID, Name: l.Name, Price: l.Price, Access: access})
	}
	for _, a := range f.Attempts {
		out.Attempts = append(out.Attempts, evidenceAttempt{ID: a.ID, Provider: a.Provider, Account: a.Account, Status: a.Status, Page: a.Ref})
	}
	for _, p := range f.Payments {
		out.Payments = append(out.Payments, evidencePayment{
			ID: p.Key.ID, Provider: p.Key.Provider, Account: p.Key.Account, Status: p.Status, Amount: p.Amount, Currency: p.Currency,
		})
	}
	for _, r := range f.Refunds {
		out.Refunds = append(out.Refunds, evidenceRefund{
			ID: r.ID, PaymentID: r.PaymentID, RequestID: r.RequestID, Status: r.Status, Amount: r.Amount, Currency: r.Currency,
		})
	}
	for _, q := range f.Requests {
		out.Requests = append(out.Requests, evidenceRequest{
			ID: q.ID, PaymentID: q.Payment.ID, Kind: string(q.Kind), State: q.State, Amount: q.Amount, Currency: q.Currency, Note: q.Note,
		})
	}
	for _, q := range f.Disputes {
		out.Disputes = append(out.Disputes, evidenceDispute{
			ID: q.ID, PaymentID: q.PaymentID, Status: q.Status, Outcome: q.Outcome, Amount: q.Amount, Currency: q.Currency,
		})
	}
	for _, o := range options {
		out.Options = append(out.Options, optionBody{
			Kind: string(o.Kind), Subject: o.Subject, Why: o.Why, Amount: o.Amount, Currency: o.Currency, Lines: showNamedLines(o.Lines),
		})
	}
	return out
}

type reasonBody struct {
	Subject string `json:"subject"`
	Why     string `json:"why"`
}

type decisionEffectBody struct {
	Before   string             `json:"before" doc:"The order's state before the decision."`
	After    string             `json:"after"`
	Reasons  []reasonBody       `json:"reasons" nullable:"false" doc:"Why a person must still look at it."`
	Ended    []uuid.UUID        `json:"ended" nullable:"false" doc:"Lines whose access ends."`
	Restored []uuid.UUID        `json:"restored" nullable:"false" doc:"Lines whose access comes back."`
	Entries  []entryBody        `json:"entries" nullable:"false" doc:"Ledger entries that are new."`
	Refunds  []wantedRefundBody `json:"refunds" nullable:"false" doc:"Money that is asked back."`
}

func showDecision(e refund.Effect) decisionEffectBody {
	out := decisionEffectBody{
		Before: string(e.Before), After: string(e.After), Reasons: make([]reasonBody, len(e.Reviews)),
		Ended: append([]uuid.UUID{}, e.Ended...), Restored: append([]uuid.UUID{}, e.Restored...),
		Entries: showEntries(e.Entries), Refunds: showRefunds(e.Refunds),
	}
	for i, r := range e.Reviews {
		out.Reasons[i] = reasonBody(r)
	}
	return out
}

func registerOperatorOrders(api huma.API, d Deps) {
	tags := []string{"Operating"}

	type ordersQuery struct {
		PageQuery
		State string `query:"state" enum:"created,awaiting_payment,paid,partially_refunded,refunded,disputed,expired,canceled,review" doc:"Only those: review waits for a person."`
		Email string `query:"email" maxLength:"254" doc:"Only those of the buyer with this whole address, in any case."`
	}
	type foundList struct{ Body Page[foundOrderBody] }
	register(api, operator, huma.Operation{
		OperationID: "list-all-orders", Method: http.MethodGet, Path: "/operator/orders", Tags: tags,
		Summary: "List orders of all buyers, newest first",
	}, func(ctx context.Context, in *ordersQuery) (*foundList, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := d.Operating.Orders(ctx, order.Filter{State: order.State(in.State), Email: in.Email, Before: before, Limit: in.Limit + 1})
		if err != nil {
			return nil, err
		}
		return &foundList{page(rows, in.Limit, func(o order.Found) uuid.UUID { return o.ID }, showFoundOrder)}, nil
	})

	type evidence struct{ Body orderEvidenceBody }
	register(api, operator, huma.Operation{
		OperationID: "get-order-evidence", Method: http.MethodGet, Path: "/operator/orders/{id}", Tags: tags,
		Summary: "See an order with its evidence, and what can be decided about it",
	}, func(ctx context.Context, in *IDPath) (*evidence, error) {
		orderID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		f, err := d.Checkout.Order(ctx, orderID)
		if err != nil {
			return nil, err
		}
		options, err := d.Refunds.Options(ctx, orderID)
		if err != nil {
			return nil, err
		}
		return &evidence{showOrderEvidence(f, options)}, nil
	})

	type decision struct {
		IDPath
		Body struct {
			Kind    string      `json:"kind" enum:"return,end_lines,withdraw,acknowledge"`
			Subject string      `json:"subject" minLength:"1" maxLength:"500" doc:"The reason's, as the order's options name it."`
			Lines   []uuid.UUID `json:"lines,omitempty" maxItems:"500" doc:"end_lines only: whose access ends. None: all stay."`
			Note    string      `json:"note" minLength:"1" maxLength:"500" doc:"Why. Kept in the audit log."`
		}
	}
	type effect struct{ Body decisionEffectBody }
	action := func(in *decision) (orderID uuid.UUID, a refund.Action, err error) {
		orderID, err = pathUUID("id", in.ID)
		return orderID, refund.Action{Kind: refund.ActionKind(in.Body.Kind), Subject: in.Body.Subject, LineIDs: in.Body.Lines, Note: in.Body.Note}, err
	}
	register(api, operator, huma.Operation{
		OperationID: "preview-decision", Method: http.MethodPost, Path: "/operator/orders/{id}/decisions/preview", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "See what a decision about an order would change", Description: "It is made and undone.",
	}, func(ctx context.Context, in *decision) (*effect, error) {
		orderID, a, err := action(in)
		if err != nil {
			return nil, err
		}
		e, err := d.Refunds.Preview(ctx, orderID, a)
		if err != nil {
			return nil, err
		}
		return &effect{showDecision(e)}, nil
	})
	register(api, operator, huma.Operation{
		OperationID: "decide", Method: http.MethodPost, Path: "/operator/orders/{id}/decisions", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Decide about an order that waits for a person", Description: "The same decision sent again finds nothing left to decide and is refused with review.no_reason.",
	}, func(ctx context.Context, in *decision) (*effect, error) {
		orderID, a, err := action(in)
		if err != nil {
			return nil, err
		}
		e, err := d.Refunds.Resolve(ctx, edge.Actor(ctx).AccountID, orderID, a)
		if err != nil {
			return nil, err
		}
		return &effect{showDecision(e)}, nil
	})
}
