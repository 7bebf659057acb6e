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

type sessionBody struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	UserAgent string    `json:"user_agent" doc:"What the browser called itself."`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Current   bool      `json:"current" doc:"Whether it is the session of this request."`
}

func showSession(s account.Session, current uuid.UUID) sessionBody {
	return sessionBody{ID: s.ID, UserAgent: s.UserAgent, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, Current: s.ID == current}
}

type signedInOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      struct {
		Session *sessionBody `json:"session,omitempty" doc:"The new session."`
		Account accountBody  `json:"account"`
		Orders  int          `json:"orders" doc:"How many orders of a guest became this account's."`
	}
}

// signedIn answers who has signed in. A guest session that was claimed is of no
// more use.
func (d Deps) signedIn(secret string, s account.Session, a account.Account, orders int, claimed bool) *signedInOutput {
	out := &signedInOutput{SetCookie: []http.Cookie{*d.Cookies.Session(secret, s.ExpiresAt)}}
	if claimed {
		out.SetCookie = append(out.SetCookie, *d.Cookies.Guest("", time.Time{}))
	}
	body := showSession(s, s.ID)
	out.Body.Session, out.Body.Account, out.Body.Orders = &body, showAccount(a), orders
	return out
}

func registerSessions(api huma.API, d Deps) {
	tags := []string{"Sessions"}

	type signIn struct {
		UserAgent string `header:"User-Agent" hidden:"true"`
		Body      struct {
			Email    string `json:"email" maxLength:"1000"`
			Password string `json:"password" maxLength:"1000"`
		}
	}
	register(api, public, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/sessions", DefaultStatus: http.StatusCreated,
		Tags: tags, Summary: "Sign in",
		Description: "Starts a session of 30 days and sets its cookie. A request that carries a guest session, as cookie or bearer, brings what that guest bought into the account.",
	}, func(ctx context.Context, in *signIn) (*signedInOutput, error) {
		if err := d.Limits.SignIn(ctx, in.Body.Email); err != nil {
			return nil, err
		}
		secret, s, a, err := d.Accounts.SignIn(ctx, in.Body.Email, in.Body.Password, in.UserAgent)
		if err != nil {
			return nil, err
		}
		orders, claimed, err := d.People.ClaimGuest(ctx, a.ID, edge.GuestSecret(ctx))
		if err != nil {
			return nil, err
		}
		return d.signedIn(secret, s, a, orders, claimed), nil
	})

	type sessionList struct{ Body Page[sessionBody] }
	register(api, signedIn, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/sessions", Tags: tags, Summary: "List my sessions",
	}, func(ctx context.Context, in *PageQuery) (*sessionList, error) {
		me := edge.Actor(ctx)
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := d.Accounts.Sessions(ctx, me.AccountID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return &sessionList{page(rows, in.Limit, func(s account.Session) uuid.UUID { return s.ID },
			func(s account.Session) sessionBody { return showSession(s, me.SessionID) })}, nil
	})

	type signedOut struct {
		SetCookie http.Cookie `header:"Set-Cookie"`
	}
	register(api, session, huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/sessions/current", Tags: tags, Summary: "Sign out",
	}, func(ctx context.Context, _ *struct{}) (*signedOut, error) {
		me := edge.Actor(ctx)
		if err := d.Accounts.RevokeSession(ctx, me.AccountID, me.SessionID); err != nil {
			return nil, err
		}
		return &signedOut{SetCookie: *d.Cookies.Session("", time.Time{})}, nil
	})

	register(api, signedIn, huma.Operation{
		OperationID: "revoke-session", Method: http.MethodDelete, Path: "/sessions/{id}", Tags: tags, Summary: "End one of my sessions",
	}, func(ctx context.Context, in *IDPath) (*struct{}, error) {
		sessionID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		return nil, d.Accounts.RevokeSession(ctx, edge.Actor(ctx).AccountID, sessionID)
	})
}
