package stripe

import (
	"net/http"
	"strings"

	"proofroom/internal/proof/twin/host"
)

func (t *Twin) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /pay/{id}", func(w http.ResponseWriter, r *http.Request) {
		t.renderPay(w, r.PathValue("id"), "", http.StatusOK)
	})
	mux.HandleFunc("POST /pay/{id}", t.doPayPage)
}

func (t *Twin) renderPay(w http.ResponseWriter, id, problem string, status int) {
	t.host.Lock()
	t.Tick()
	s, ok := t.sessions[id]
	p := host.PayPage{Look: host.Stripe, Brand: "Card checkout", Problem: problem, Headline: "There is no such payment page"}
	if ok {
		p.Open = s.status == "open" || t.paysLate(s)
		p.Total, p.Email, p.BackURL = show(s.currency, s.amount), s.email, s.cancelURL
		p.Headline = "This page has expired"
		if s.status == "complete" {
			p.Headline = "This is already paid"
			p.BackURL = strings.ReplaceAll(s.successURL, "{CHECKOUT_SESSION_ID}", s.id)
		}
		for _, l := range s.lines {
			p.Lines = append(p.Lines, host.PayLine{Name: l.name, Quantity: l.quantity, Price: show(s.currency, l.unit*l.quantity)})
		}
		p.Buttons = []host.Button{
			{Action: host.MethodCard, Label: "Pay with a card", Main: true},
			{Action: host.MethodDecline, Label: "Pay with a card that is declined"},
			{Action: host.MethodDelayed, Label: "Pay by bank transfer, which arrives later"},
		}
		if s.cancelURL != "" {
			p.Buttons = append(p.Buttons, host.Button{Action: "cancel", Label: "Cancel and go back"})
		}
	}
	t.host.Unlock()
	switch {
	case !ok:
		status = http.StatusNotFound
	case !p.Open && status == http.StatusOK && p.Headline == "This page has expired":
		status = http.StatusGone
	}
	host.ShowPay(w, status, p)
}

func (t *Twin) doPayPage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	action := r.PostFormValue("action")
	if action == "cancel" {
		t.host.Lock()
		s, ok := t.sessions[id]
		t.host.Unlock()
		if !ok || s.cancelURL == "" {
			t.renderPay(w, id, "", http.StatusOK)
			return
		}
		http.Redirect(w, r, s.cancelURL, http.StatusSeeOther)
		return
	}
	t.host.Lock()
	t.Tick()
	res, err := t.Pay(id, host.PayRequest{Method: action})
	t.host.Unlock()
	switch {
	case err != nil:
		t.renderPay(w, id, strings.TrimPrefix(err.Error(), "twin: "), http.StatusConflict)
	case res.Redirect == "":
		t.renderPay(w, id, "Your card was declined. Nothing was taken; you can try again.", http.StatusPaymentRequired)
	default:
		http.Redirect(w, r, res.Redirect, http.StatusSeeOther)
	}
}
