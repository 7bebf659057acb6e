package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"proofroom/internal/core/account"
)

func registerSetup(api huma.API, d Deps) {
	type setup struct {
		Body struct {
			Token    string `json:"token" maxLength:"200" doc:"The last part of the link that the server printed when it started."`
			Email    string `json:"email" maxLength:"254"`
			Name     string `json:"name" minLength:"1" maxLength:"100"`
			Password string `json:"password" minLength:"10" maxLength:"200"`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "create-first-operator", Method: http.MethodPost, Path: "/setup", DefaultStatus: http.StatusCreated,
		Tags: []string{"Accounts"}, Summary: "Become the first operator",
		Description: "Works once, with the link that a server without an operator prints. An address that has an account already becomes an operator if the password is its own.",
	}, func(ctx context.Context, in *setup) (*accountOutput, error) {
		b := in.Body
		a, err := d.Accounts.UseSetupLink(ctx, b.Token, account.NewAccount{Email: b.Email, Name: b.Name, Password: b.Password})
		if err != nil {
			return nil, err
		}
		return &accountOutput{Body: showAccount(a)}, nil
	})
}
