package paypal

import (
	"net/http"
	"strconv"
	"strings"

	"proofroom/internal/proof/twin/host"
)

func (t *Twin) showPage(w http.ResponseWriter, r *http.Request) {
	t.renderPage(w, r.URL.Query().Get("token"), "", http.StatusOK)
}

func (t *Twin) renderPage(w http.ResponseWriter, id, problem string, status int) {
	t.host.Lock()
	t.Tick()
	o, ok := t.orders[id]
	p := host.PayPage{Look: host.PayPal, Brand: "PayPal checkout", Problem: problem, Headline: "There is no such payment page"}
	if ok {
		p.Open = o.open() || o.status == orderVoided && t.host.Hits(host.PayExpired, o.name())
		p.Total, p.Email, p.BackURL = host.Show(o.currency, o.amount), o.email, withToken(o.cancelURL, o.id, false)
		switch o.status {
		case orderApproved:
			p.Headline, p.BackURL = "You have approved this payment", o.backTo()
		case orderCompleted:
			p.Headline, p.BackURL = "This is already paid", o.backTo()
		default:
			p.Headline = "This page has expired"
		}
		for _, it := range o.items {
			n, _ := strconv.ParseInt(it.Quantity, 10, 64)
			p.Lines = append(p.Lines, host.PayLine{Name: it.Name, Quantity: n, Price: it.Unit.Value + " " + it.Unit.Currency})
		}
		p.Buttons = []host.Button{
			{Action: host.MethodCard, Label: "Approve and pay", Main: true},
			{Action: host.MethodDecline, Label: "Approve with a card that will be declined"},
			{Action: host.MethodDelayed, Label: "Approve with an eCheck, which clears later"},
			{Action: host.MethodDenied, Label: "Approve a payment that PayPal will deny"},
		}
		if o.cancelURL != "" {
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

func (t *Twin) doPage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("token")
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	action := r.PostFormValue("action")
	if action == "cancel" {
		t.host.Lock()
		back := ""
		if o, ok := t.orders[id]; ok {
			back = withToken(o.cancelURL, o.id, false)
		}
		t.host.Unlock()
		if back == "" {
			t.renderPage(w, id, "", http.StatusOK)
			return
		}
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	t.host.Lock()
	t.Tick()
	res, err := t.Pay(id, host.PayRequest{Method: action})
	t.host.Unlock()
	switch {
	case err != nil:
		t.renderPage(w, id, strings.TrimPrefix(err.Error(), "twin: "), http.StatusConflict)
	case res.Redirect == "":
		t.renderPage(w, id, "", http.StatusOK)
	default:
		http.Redirect(w, r, res.Redirect, http.StatusSeeOther)
	}
}
