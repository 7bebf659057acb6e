package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

type tokenBody struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

func registerTokens(api huma.API, d Deps) {
	tags := []string{"API tokens"}

	type tokenRequest struct {
		Body struct {
			Name string `json:"name" minLength:"1" maxLength:"100" doc:"What it is for, to tell it apart later."`
		}
	}
	type newToken struct {
		Body struct {
			ID        uuid.UUID `json:"id" format:"uuid"`
			Name      string    `json:"name"`
			CreatedAt time.Time `json:"created_at"`
			Token     string    `json:"token" doc:"The bearer token itself. It is shown only here."`
		}
	}
	register(api, session, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/tokens", DefaultStatus: http.StatusCreated,
		Tags: tags, Summary: "Make an API token", Description: "It may do all that the account may, except make further tokens.",
	}, func(ctx context.Context, in *tokenRequest) (*newToken, error) {
		secret, t, err := d.Accounts.NewTokenOf(ctx, edge.Actor(ctx), in.Body.Name)
		if err != nil {
			return nil, err
		}
		out := &newToken{}
		out.Body.ID, out.Body.Name, out.Body.CreatedAt, out.Body.Token = t.ID, t.Name, t.CreatedAt, secret
		return out, nil
	})

	type tokenList struct{ Body Page[tokenBody] }
	register(api, signedIn, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tags, Summary: "List my API tokens",
	}, func(ctx context.Context, in *PageQuery) (*tokenList, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := d.Accounts.Tokens(ctx, edge.Actor(ctx).AccountID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return &tokenList{page(rows, in.Limit, func(t account.Token) uuid.UUID { return t.ID },
			func(t account.Token) tokenBody { return tokenBody(t) })}, nil
	})

	register(api, signedIn, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Tags: tags, Summary: "Revoke an API token of mine",
	}, func(ctx context.Context, in *IDPath) (*struct{}, error) {
		tokenID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		return nil, d.Accounts.RevokeToken(ctx, edge.Actor(ctx).AccountID, tokenID)
	})
}
