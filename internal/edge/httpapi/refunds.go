package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/base/problem"
	"proofroom/internal/edge"
	"proofroom/internal/flow/refund"
)

func registerRefunds(api huma.API, d Deps) {
	type newRefund struct {
		KeyHeader
		IDPath
		Body struct {
			Lines  []uuid.UUID `json:"lines,omitempty" maxItems:"500" doc:"The order's lines to give back, at their prices. Leave it out for all that is left."`
			Reason string      `json:"reason" minLength:"1" maxLength:"500" doc:"Kept in the audit log."`
		}
	}
	type refundAnswer struct {
		Status      int
		ContentType string `header:"Content-Type"`
		Replayed    string `header:"Idempotency-Replayed" doc:"true when this answer was given before."`
		Body        []byte
	}
	schema := huma.SchemaFromType(api.OpenAPI().Components.Schemas, reflect.TypeFor[refund.Result]())
	register(api, operator, huma.Operation{
		OperationID: "create-refund", Method: http.MethodPost, Path: "/orders/{id}/refunds", DefaultStatus: http.StatusAccepted,
		Tags: []string{"Operating"}, Summary: "Refund lines of an order, or all that is left",
		Description: "The buyer's access to these lines ends at once; the money goes back through the provider, and if that fails the access comes back. " +
			"The same request with the same Idempotency-Key is answered with the same bytes and gives nothing back twice.",
		Responses: map[string]*huma.Response{"202": {
			Description: "What goes back.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}},
	}, func(ctx context.Context, in *newRefund) (*refundAnswer, error) {
		orderID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		key, err := edge.IdempotencyKey(in.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		if in.Body.Lines != nil && len(in.Body.Lines) == 0 {
			return nil, refund.ErrLines.WithFields(problem.Field{Name: "lines", Detail: "It names no line. Leave it out to give back all that is left."})
		}
		a, err := d.Refunds.Ask(ctx, refund.Input{
			OperatorID: edge.Actor(ctx).AccountID, OrderID: orderID, LineIDs: in.Body.Lines, Reason: in.Body.Reason, Key: key,
		})
		if err != nil {
			return nil, err
		}
		out := &refundAnswer{Status: http.StatusAccepted, ContentType: "application/json", Body: a.Body}
		if a.Replayed {
			out.Replayed = "true"
		}
		return out, nil
	})
}
