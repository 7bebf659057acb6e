package flutterwave

import (
	"net/http"
	"strings"

	"proofroom/internal/proof/twin/host"
)

const pagePath = "/flutterwave/v3/hosted/pay/"

// What a payer can do besides paying.
const (
	actionCancel = "cancel"
	// actionClaim goes back with words that no payment stands behind.
	actionClaim = "claim"
)

func (t *Twin) showPage(w http.ResponseWriter, r *http.Request) {
	t.renderPage(w, r.PathValue("link"), "", http.StatusOK)
}

func (t *Twin) renderPage(w http.ResponseWriter, id, problem string, status int) {
	t.host.Lock()
	t.Tick()
	l, ok := t.links[id]
	p := host.PayPage{Look: host.Flutterwave, Brand: "Flutterwave checkout", Problem: problem, Headline: "There is no such payment page"}
	if ok {
		p.Open = l.active(t.host.Now()) || t.host.Hits(host.PayExpired, l.page.name())
		p.Total, p.Email, p.BackURL = host.Show(l.currency, l.amount), l.email, l.redirect
		p.Lines = []host.PayLine{{Name: l.title, Quantity: 1, Price: p.Total}}
		p.Headline = "This payment link is currently inactive"
		p.Buttons = []host.Button{
			{Action: host.MethodCard, Label: "Pay by card", Main: true},
			{Action: host.MethodDelayed, Label: "Pay with mobile money, approved minutes later"},
			{Action: host.MethodDenied, Label: "Pay with mobile money that is never approved"},
			{Action: host.MethodDecline, Label: "Pay with a card that is declined"},
			{Action: MethodLost, Label: "Pay by card and lose the way back"},
			{Action: actionClaim, Label: "Go back and claim to have paid"},
			{Action: actionCancel, Label: "Cancel and go back"},
		}
	}
	t.host.Unlock()
	switch {
	case !ok:
		status = http.StatusNotFound
	case !p.Open && status == http.StatusOK:
		status = http.StatusGone
	}
	host.ShowPay(w, status, p)
}

func (t *Twin) doPage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("link")
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	action := r.PostFormValue("action")
	t.host.Lock()
	t.Tick()
	l, ok := t.links[id]
	var res host.PayResult
	var err error
	switch {
	case !ok:
		t.host.Unlock()
		t.renderPage(w, id, "", http.StatusNotFound)
		return
	case action == actionCancel:
		res.Redirect = backTo(l.redirect, "cancelled", l.page.ref, "")
	case action == actionClaim:
		res.Redirect = backTo(l.redirect, statusSuccessful, l.page.ref, t.somebodysPayment())
	default:
		res, err = t.Pay(id, host.PayRequest{Method: action})
	}
	t.host.Unlock()
	switch {
	case err != nil:
		t.renderPage(w, id, strings.TrimPrefix(err.Error(), "twin: "), http.StatusConflict)
	case res.Redirect != "":
		http.Redirect(w, r, res.Redirect, http.StatusSeeOther)
	case res.Outcome == host.OutcomePaid:
		t.renderPage(w, id, "Something went wrong. Please contact the merchant.", http.StatusInternalServerError)
	case res.Outcome == host.OutcomeProcessing:
		t.renderPage(w, id, "Approve the payment on your telephone.", http.StatusOK)
	default:
		t.renderPage(w, id, "Your card was declined. Try another one.", http.StatusOK)
	}
}

// somebodysPayment is the id of the latest payment of anybody, as one who claims
// to have paid may have seen it.
func (t *Twin) somebodysPayment() string {
	if len(t.latest) == 0 {
		return "1"
	}
	return t.latest[len(t.latest)-1].id
}
