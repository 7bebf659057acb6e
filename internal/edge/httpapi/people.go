package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"proofroom/internal/edge"
)

// asked is the one answer to whoever has a mail sent, so that it tells nothing
// about the address.
type asked struct {
	Body struct {
		Message string `json:"message"`
	}
}

func registerPeople(api huma.API, d Deps) {
	tags := []string{"Accounts"}

	type address struct {
		Body struct {
			Email string `json:"email" maxLength:"254"`
		}
	}
	answer := func(message string, err error) (*asked, error) {
		if err != nil {
			return nil, err
		}
		out := &asked{}
		out.Body.Message = message
		return out, nil
	}
	register(api, public, huma.Operation{
		OperationID: "ask-sign-in-link", Method: http.MethodPost, Path: "/sign-in-links", DefaultStatus: http.StatusAccepted,
		Tags: tags, Summary: "Have a link mailed to sign in with",
		Description: "The answer is the same for every address. The link works once, for 15 minutes; used by somebody without an account, it makes one.",
	}, func(ctx context.Context, in *address) (*asked, error) {
		if err := d.Limits.Mail(ctx, in.Body.Email); err != nil {
			return nil, err
		}
		return answer("If mail reaches this address, a link to sign in is on its way.", d.People.AskToSignIn(ctx, in.Body.Email))
	})

	register(api, public, huma.Operation{
		OperationID: "find-purchases", Method: http.MethodPost, Path: "/purchase-searches", DefaultStatus: http.StatusAccepted,
		Tags: []string{"Buying"}, Summary: "Have a mail sent about what was bought with an address",
		Description: "The answer is the same for every address; what was bought is told in the mail, with a link to it.",
	}, func(ctx context.Context, in *address) (*asked, error) {
		if err := d.Limits.Mail(ctx, in.Body.Email); err != nil {
			return nil, err
		}
		return answer("If mail reaches this address, it says what was bought with it.", d.People.FindPurchases(ctx, in.Body.Email))
	})

	type use struct {
		UserAgent string `header:"User-Agent" hidden:"true"`
		Body      struct {
			Token string `json:"token" maxLength:"200" doc:"The last part of the link."`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "use-link", Method: http.MethodPost, Path: "/sessions/by-link", DefaultStatus: http.StatusCreated,
		Tags: []string{"Sessions"}, Summary: "Sign in with a link from a mail",
		Description: "Uses the link up. What guests bought with its address, and what the guest session that the request carries bought, becomes the account's. " +
			"A link by which an account asked for purchases works only with that account's session, and starts no other.",
	}, func(ctx context.Context, in *use) (*signedInOutput, error) {
		if err := d.Limits.Link(ctx); err != nil {
			return nil, err
		}
		me := edge.Actor(ctx)
		e, err := d.People.UseLink(ctx, in.Body.Token, edge.GuestSecret(ctx), me, in.UserAgent)
		if err != nil {
			return nil, err
		}
		out := d.signedIn(e.Secret, e.Session, e.Account, e.Orders, e.Guest)
		if e.Secret == "" {
			out.SetCookie, out.Body.Session = out.SetCookie[1:], nil // it goes on in the one it has
		}
		return out, nil
	})

	type guestToken struct {
		Body struct {
			Token string `json:"token" maxLength:"200" doc:"The token of the guest session. It is of no use afterwards."`
		}
	}
	type claimed struct {
		SetCookie []http.Cookie `header:"Set-Cookie"`
		Body      struct {
			Orders int `json:"orders" doc:"How many orders became this account's."`
		}
	}
	register(api, signedIn, huma.Operation{
		OperationID: "claim-guest-session", Method: http.MethodPost, Path: "/claims", DefaultStatus: http.StatusOK,
		Tags: tags, Summary: "Take over what a guest session of mine bought",
		Description: "Moves the guest's orders and photographs to this account. A photograph that both own stays once; the other one is given back only when asked for. Repeated, it moves nothing more.",
	}, func(ctx context.Context, in *guestToken) (*claimed, error) {
		if err := d.Limits.Link(ctx); err != nil {
			return nil, err
		}
		orders, _, err := d.People.ClaimGuest(ctx, edge.Actor(ctx).AccountID, in.Body.Token)
		if err != nil {
			return nil, err
		}
		out := &claimed{}
		if in.Body.Token == edge.GuestSecret(ctx) {
			out.SetCookie = []http.Cookie{*d.Cookies.Guest("", time.Time{})}
		}
		out.Body.Orders = orders
		return out, nil
	})

	register(api, session, huma.Operation{
		OperationID: "ask-claim-link", Method: http.MethodPost, Path: "/claim-links", DefaultStatus: http.StatusAccepted,
		Tags: tags, Summary: "Have a link mailed to another address of mine",
		Description: "Used with this account's session, the link moves here what guests bought with that address.",
	}, func(ctx context.Context, in *address) (*asked, error) {
		if err := d.Limits.Mail(ctx, in.Body.Email); err != nil {
			return nil, err
		}
		return answer("If mail reaches this address, a link is on its way. Open it in this browser.",
			d.People.AskToClaim(ctx, edge.Actor(ctx).AccountID, in.Body.Email))
	})

	type newPassword struct {
		Body struct {
			Current  string `json:"current,omitempty" maxLength:"1000" doc:"The password so far; leave it out if the account has none."`
			Password string `json:"password" minLength:"10" maxLength:"200"`
		}
	}
	register(api, session, huma.Operation{
		OperationID: "set-password", Method: http.MethodPut, Path: "/me/password", Tags: tags, Summary: "Set my password",
		Description: "Ends all other sessions of the account.",
	}, func(ctx context.Context, in *newPassword) (*struct{}, error) {
		if err := d.Limits.SignIn(ctx, edge.Actor(ctx).Email); err != nil {
			return nil, err
		}
		return nil, d.Accounts.SetPassword(ctx, edge.Actor(ctx), in.Body.Current, in.Body.Password)
	})

	register(api, known, huma.Operation{
		OperationID: "send-receipt", Method: http.MethodPost, Path: "/orders/{id}/receipt", DefaultStatus: http.StatusAccepted,
		Tags: []string{"Buying"}, Summary: "Have the receipt of an order of mine mailed again",
		Description: "To the address that it went to.",
	}, func(ctx context.Context, in *IDPath) (*asked, error) {
		f, err := d.order(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if err := d.Limits.Mail(ctx, f.Order.Email); err != nil {
			return nil, err
		}
		return answer("The receipt is on its way.", d.People.SendReceipt(ctx, f.Order))
	})
}
