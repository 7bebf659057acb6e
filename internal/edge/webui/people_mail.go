package webui

import (
	"context"
	"net/http"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

// mailForm is a form that asks for an address and has something mailed to it.
type mailForm struct {
	title, action, what, button, answer string
	ask                                 func(context.Context, string) error
}

func (u *ui) signInLink() mailForm {
	return mailForm{
		title: "Sign in by mail", action: "/signin/link", button: "Send the link",
		what:   "You get a mail with a link that signs you in, without a password. If there is no account with your address yet, it makes one.",
		answer: "If mail reaches this address, a link to sign in is on its way. It works once, for 15 minutes.",
		ask:    u.People.AskToSignIn,
	}
}

func (u *ui) findPurchases() mailForm {
	return mailForm{
		title: "Find my purchases", action: "/find", button: "Send the mail",
		what:   "Give the address that you bought with. You get a mail that says what was bought with it, and a link to your photographs.",
		answer: "If mail reaches this address, it says what was bought with it.",
		ask:    u.People.FindPurchases,
	}
}

func (u *ui) mailPage(w http.ResponseWriter, r *http.Request, f mailForm) error {
	return u.show(w, r, f.title, addressForm(person{Action: f.action}, f.what, f.button, nil))
}

func (u *ui) askMail(w http.ResponseWriter, r *http.Request, f mailForm) error {
	in, err := form(w, r)
	if err != nil {
		return err
	}
	err = u.Limits.Mail(r.Context(), in.Get("email"))
	if err == nil {
		err = f.ask(r.Context(), in.Get("email"))
	}
	if err != nil {
		return u.refused(w, r, err, f.title, func(why *edge.Problem) templ.Component {
			return addressForm(person{Action: f.action, Email: in.Get("email")}, f.what, f.button, why)
		})
	}
	return u.show(w, r, f.title, askedPage(f.answer))
}

func (u *ui) askLinkPage(w http.ResponseWriter, r *http.Request) error {
	return u.mailPage(w, r, u.signInLink())
}

func (u *ui) askLink(w http.ResponseWriter, r *http.Request) error {
	return u.askMail(w, r, u.signInLink())
}

func (u *ui) findPage(w http.ResponseWriter, r *http.Request) error {
	return u.mailPage(w, r, u.findPurchases())
}

func (u *ui) find(w http.ResponseWriter, r *http.Request) error {
	return u.askMail(w, r, u.findPurchases())
}

// linkPage shows the button that uses a link.
func (u *ui) linkPage(w http.ResponseWriter, r *http.Request) error {
	link, err := u.Accounts.CheckLink(r.Context(), chi.URLParam(r, "token"))
	if err != nil {
		return u.deadLink(err)
	}
	title := "Sign in"
	if link.AccountID != nil {
		title = "Take over purchases"
	}
	return u.show(w, r, title, linkForm(r.URL.Path, link.Email, link.AccountID != nil))
}

func (u *ui) useLink(w http.ResponseWriter, r *http.Request) error {
	if err := u.Limits.Link(r.Context()); err != nil {
		return err
	}
	e, err := u.People.UseLink(r.Context(), chi.URLParam(r, "token"), edge.GuestSecret(r.Context()), edge.Actor(r.Context()), r.UserAgent())
	if err != nil {
		return u.deadLink(err)
	}
	u.entered(w, e.Secret, e.Session, e.Guest)
	return seeOther(w, r, "/library")
}

// deadLink leads on from a link that does not work.
func (u *ui) deadLink(err error) error {
	for _, p := range []*problem.Error{account.ErrLinkUsed, account.ErrLinkExpired, account.ErrLinkUnknown} {
		if p.Is(err) {
			return p.WithLink("/find")
		}
	}
	return err
}

// accountPage is what an account's holder can change about it.
func (u *ui) accountPage(w http.ResponseWriter, r *http.Request) error {
	me, err := edge.RequireSession(r.Context())
	if err != nil {
		return err
	}
	return u.show(w, r, "Your account", accountForms(me, nil, nil, r.URL.Query().Get("changed") != ""))
}

func (u *ui) setPassword(w http.ResponseWriter, r *http.Request) error {
	me, err := edge.RequireSession(r.Context())
	if err != nil {
		return err
	}
	in, err := form(w, r)
	if err != nil {
		return err
	}
	err = u.Limits.SignIn(r.Context(), me.Email)
	if err == nil {
		err = u.Accounts.SetPassword(r.Context(), me, in.Get("current"), in.Get("password"))
	}
	if err != nil {
		return u.refused(w, r, err, "Your account", func(why *edge.Problem) templ.Component { return accountForms(me, why, nil, false) })
	}
	return seeOther(w, r, "/account?changed=1")
}

func (u *ui) askClaim(w http.ResponseWriter, r *http.Request) error {
	me, err := edge.RequireSession(r.Context())
	if err != nil {
		return err
	}
	in, err := form(w, r)
	if err != nil {
		return err
	}
	if err := u.Limits.Mail(r.Context(), in.Get("email")); err != nil {
		return err
	}
	if err := u.People.AskToClaim(r.Context(), me.AccountID, in.Get("email")); err != nil {
		return u.refused(w, r, err, "Your account", func(why *edge.Problem) templ.Component { return accountForms(me, nil, why, false) })
	}
	return u.show(w, r, "Your account", askedPage("If mail reaches this address, a link is on its way. Open it in this browser."))
}

func (u *ui) sendReceipt(w http.ResponseWriter, r *http.Request) error {
	f, err := u.myOrder(r)
	if err != nil {
		return err
	}
	if err := u.Limits.Mail(r.Context(), f.Order.Email); err != nil {
		return err
	}
	if err := u.People.SendReceipt(r.Context(), f.Order); err != nil {
		return err
	}
	return u.show(w, r, "Receipt", askedPage("The receipt is on its way to "+f.Order.Email+"."))
}
