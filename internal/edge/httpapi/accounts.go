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

// accountBody is an account as its owner sees it.
type accountBody struct {
	ID        uuid.UUID      `json:"id" format:"uuid"`
	Email     string         `json:"email"`
	Name      string         `json:"name"`
	Roles     []account.Role `json:"roles" nullable:"false" doc:"attendee, creator, operator"`
	CreatedAt time.Time      `json:"created_at"`
}

func showAccount(a account.Account) accountBody {
	return accountBody{ID: a.ID, Email: a.Email, Name: a.Name, Roles: a.Roles, CreatedAt: a.CreatedAt}
}

type (
	accountOutput struct{ Body accountBody }
	meOutput      struct{ Body meBody }
)

type meBody struct {
	Kind  account.Kind   `json:"kind" doc:"account or guest"`
	ID    uuid.UUID      `json:"id" format:"uuid" doc:"Of the account or of the guest session."`
	Email string         `json:"email,omitempty"`
	Name  string         `json:"name,omitempty"`
	Roles []account.Role `json:"roles" nullable:"false"`
}

func registerAccounts(api huma.API, d Deps) {
	type signUp struct {
		Body struct {
			Email    string `json:"email" maxLength:"254" doc:"Plain ASCII; capitals do not matter."`
			Name     string `json:"name" minLength:"1" maxLength:"100" doc:"Shown to others."`
			Password string `json:"password" minLength:"10" maxLength:"200"`
			Creator  bool   `json:"creator,omitempty" doc:"Also wants to put up events."`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "create-account", Method: http.MethodPost, Path: "/accounts", DefaultStatus: http.StatusCreated,
		Tags: []string{"Accounts"}, Summary: "Sign up",
	}, func(ctx context.Context, in *signUp) (*accountOutput, error) {
		b := in.Body
		if err := d.Limits.SignUp(ctx); err != nil {
			return nil, err
		}
		a, err := d.Accounts.SignUp(ctx, account.NewAccount{Email: b.Email, Name: b.Name, Password: b.Password, Creator: b.Creator})
		if err != nil {
			return nil, err
		}
		return &accountOutput{Body: showAccount(a)}, nil
	})

	register(api, known, huma.Operation{
		OperationID: "get-me", Method: http.MethodGet, Path: "/me",
		Tags: []string{"Accounts"}, Summary: "Who am I?",
	}, func(ctx context.Context, _ *struct{}) (*meOutput, error) {
		a := edge.Actor(ctx)
		roles := a.Roles
		if roles == nil {
			roles = []account.Role{}
		}
		return &meOutput{Body: meBody{Kind: a.Kind, ID: a.ID, Email: a.Email, Name: a.Name, Roles: roles}}, nil
	})
}
