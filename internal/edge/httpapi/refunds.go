package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/edge"
)

func registerRefunds(api huma.API, d Deps) {
	type refundOrder struct {
		IDPath
		Body struct {
			Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Kept in the audit log."`
		}
	}
	type refundBegun struct {
		Body struct {
			ID       uuid.UUID `json:"id" format:"uuid"`
			OrderID  uuid.UUID `json:"order_id" format:"uuid"`
			Amount   int64     `json:"amount" doc:"What goes back, in minor units."`
			Currency string    `json:"currency"`
		}
	}
	register(api, operator, huma.Operation{
		OperationID: "refund-order", Method: http.MethodPost, Path: "/orders/{id}/refund", DefaultStatus: http.StatusAccepted,
		Tags: []string{"Operating"}, Summary: "Refund all that is left of an order",
		Description: "The buyer's access ends at once; the money goes back through the provider. A second request finds nothing left and is refused.",
	}, func(ctx context.Context, in *refundOrder) (*refundBegun, error) {
		orderID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		r, err := d.Refunds.Full(ctx, edge.Actor(ctx).AccountID, orderID, in.Body.Reason)
		if err != nil {
			return nil, err
		}
		out := &refundBegun{}
		out.Body.ID, out.Body.OrderID, out.Body.Amount, out.Body.Currency = r.ID, r.OrderID, r.Amount, r.Currency
		return out, nil
	})
}
