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
	err = u.Limits.SignIn(r.Context(), n.Email)
	if err == nil {
		err = u.enter(w, r, n, p.Next)
	}
	if err != nil {
		return u.refused(w, r, err, "Sign in", func(why *edge.Problem) templ.Component { return signInForm(p, why) })
	}
	return nil
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
	err = u.Limits.SignUp(r.Context())
	if err == nil {
		_, err = u.Accounts.SignUp(r.Context(), n)
	}
	if err != nil {
		return u.refused(w, r, err, "Sign up", func(why *edge.Problem) templ.Component { return newAccountForm(p, why) })
	}
	return u.enter(w, r, n, p.Next)
}

// enter signs in by password, and brings along what the browser's guest bought.
func (u *ui) enter(w http.ResponseWriter, r *http.Request, n account.NewAccount, next string) error {
	secret, s, a, err := u.Accounts.SignIn(r.Context(), n.Email, n.Password, r.UserAgent())
	if err != nil {
		return err
	}
	_, claimed, err := u.People.ClaimGuest(r.Context(), a.ID, edge.GuestSecret(r.Context()))
	if err != nil {
		return err
	}
	u.entered(w, secret, s, claimed)
	return seeOther(w, r, next)
}

// entered sets the cookies of who has signed in.
func (u *ui) entered(w http.ResponseWriter, secret string, s account.Session, claimed bool) {
	if secret != "" {
		http.SetCookie(w, u.Cookies.Session(secret, s.ExpiresAt))
	}
	if claimed {
		http.SetCookie(w, u.Cookies.Guest("", time.Time{}))
	}
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
	if _, err := u.Accounts.UseSetupLink(r.Context(), chi.URLParam(r, "token"), n); err != nil {
		return u.refused(w, r, err, "Set up", func(why *edge.Problem) templ.Component { return setupForm(p, why) })
	}
	return u.enter(w, r, n, "/")
}
