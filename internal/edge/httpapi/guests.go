package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

func registerGuests(api huma.API, d Deps) {
	type newGuest struct {
		Body struct {
			ID        uuid.UUID `json:"id" format:"uuid"`
			Token     string    `json:"token" doc:"Send it as bearer. Whoever holds it owns what this guest buys; it is shown only here."`
			ExpiresAt time.Time `json:"expires_at"`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "create-guest-session", Method: http.MethodPost, Path: "/guest-sessions", DefaultStatus: http.StatusCreated,
		Tags: []string{"Guests"}, Summary: "Start buying without an account",
	}, func(ctx context.Context, _ *struct{}) (*newGuest, error) {
		if err := d.Limits.Guest(ctx); err != nil {
			return nil, err
		}
		secret, g, err := d.Accounts.NewGuest(ctx)
		if err != nil {
			return nil, err
		}
		out := &newGuest{}
		out.Body.ID, out.Body.Token, out.Body.ExpiresAt = g.ID, secret, g.ExpiresAt
		return out, nil
	})
}
