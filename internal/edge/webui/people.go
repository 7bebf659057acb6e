package webui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

// person is what the forms about people hold; passwords are not shown again.
type person struct {
	Email, Name string
	Creator     bool
	Next        string // where to go on
	Action      string // where the form goes
}

func personOf(f url.Values, action string) (person, account.NewAccount) {
	p := person{Email: f.Get("email"), Name: f.Get("name"), Creator: f.Get("creator") != "", Next: localPath(f.Get("next")), Action: action}
	return p, account.NewAccount{Email: p.Email, Name: p.Name, Creator: p.Creator, Password: f.Get("password")}
}

func (u *ui) signInPage(w http.ResponseWriter, r *http.Request) error {
	return u.show(w, r, "Sign in", signInForm(person{Next: localPath(r.URL.Query().Get("next"))}, nil))
}

func (u *ui) signIn(w http.ResponseWriter, r *http.Request) error {
	f, err := form(w, r)
	if err != nil {
		return err
	}
	p, n := personOf(f, "/signin")
	secret, s, _, err := u.Accounts.SignIn(r.Context(), n.Email, n.Password, r.UserAgent())
	if err != nil {
		return u.refused(w, r, err, "Sign in", func(why *edge.Problem) templ.Component { return signInForm(p, why) })
	}
	http.SetCookie(w, u.Cookies.Session(secret, s.ExpiresAt))
	return seeOther(w, r, p.Next)
}

func (u *ui) signUpPage(w http.ResponseWriter, r *http.Request) error {
	return u.show(w, r, "Sign up", newAccountForm(person{Next: localPath(r.URL.Query().Get("next")), Action: "/signup"}, nil))
}

func (u *ui) signUp(w http.ResponseWriter, r *http.Request) error {
	f, err := form(w, r)
	if err != nil {
		return err
	}
	p, n := personOf(f, "/signup")
	a, err := u.Accounts.SignUp(r.Context(), n)
	if err != nil {
		return u.refused(w, r, err, "Sign up", func(why *edge.Problem) templ.Component { return newAccountForm(p, why) })
	}
	return u.enter(w, r, a, p.Next)
}

// enter signs in who has just made an account.
func (u *ui) enter(w http.ResponseWriter, r *http.Request, a account.Account, next string) error {
	secret, s, err := u.Accounts.NewSession(r.Context(), a.ID, r.UserAgent())
	if err != nil {
		return err
	}
	http.SetCookie(w, u.Cookies.Session(secret, s.ExpiresAt))
	return seeOther(w, r, next)
}

func (u *ui) signOut(w http.ResponseWriter, r *http.Request) error {
	if me, err := edge.RequireSession(r.Context()); err == nil {
		// A session that has ended meanwhile is what was wanted.
		if err := u.Accounts.RevokeSession(r.Context(), me.AccountID, me.SessionID); err != nil && edge.Explain(err).Code != account.ErrNotFound.Code {
			return err
		}
	}
	http.SetCookie(w, u.Cookies.Session("", time.Time{}))
	return seeOther(w, r, "/")
}

func (u *ui) setupPage(w http.ResponseWriter, r *http.Request) error {
	token := chi.URLParam(r, "token")
	if err := u.Accounts.CheckSetupLink(r.Context(), token); err != nil {
		return err
	}
	return u.show(w, r, "Set up", setupForm(person{Action: r.URL.Path}, nil))
}

func (u *ui) setup(w http.ResponseWriter, r *http.Request) error {
	f, err := form(w, r)
	if err != nil {
		return err
	}
	p, n := personOf(f, r.URL.Path)
	a, err := u.Accounts.UseSetupLink(r.Context(), chi.URLParam(r, "token"), n)
	if err != nil {
		return u.refused(w, r, err, "Set up", func(why *edge.Problem) templ.Component { return setupForm(p, why) })
	}
	return u.enter(w, r, a, "/")
}
