package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/order"
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
}
