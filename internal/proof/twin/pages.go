package twin

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

//go:embed pages/*.html
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{"show": display}).ParseFS(pageFiles, "pages/*.html"))

func (t *Twin) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /pay/{id}", t.showPayPage)
	mux.HandleFunc("POST /pay/{id}", t.doPayPage)
	mux.HandleFunc("GET /_twin/{$}", t.showControlPage)
	mux.HandleFunc("POST /_twin/do/{what}", t.doControlPage)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/_twin/", http.StatusSeeOther) })
}

func render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

type payLine struct {
	Name     string
	Quantity int64
	Price    string
}

type payPage struct {
	Open      bool
	Total     string
	Lines     []payLine
	Email     string
	CancelURL string
	Headline  string
	BackURL   string
	Problem   string
}

func (t *Twin) showPayPage(w http.ResponseWriter, r *http.Request) {
	t.renderPay(w, r.PathValue("id"), "", http.StatusOK)
}

func (t *Twin) renderPay(w http.ResponseWriter, id, problem string, status int) {
	t.mu.Lock()
	t.expireDue()
	s, ok := t.sessions[id]
	p := payPage{Problem: problem, Headline: "There is no such payment page"}
	if ok {
		p.Open = s.status == "open" || t.paysLate(s)
		p.Total, p.Email, p.CancelURL, p.BackURL = display(s.currency, s.amount), s.email, s.cancelURL, s.cancelURL
		p.Headline = "This page has expired"
		if s.status == "complete" {
			p.Headline = "This is already paid"
			p.BackURL = strings.ReplaceAll(s.successURL, "{CHECKOUT_SESSION_ID}", s.id)
		}
		for _, l := range s.lines {
			p.Lines = append(p.Lines, payLine{l.name, l.quantity, display(s.currency, l.unit*l.quantity)})
		}
	}
	t.mu.Unlock()
	switch {
	case !ok:
		status = http.StatusNotFound
	case !p.Open && status == http.StatusOK && p.Headline == "This page has expired":
		status = http.StatusGone
	}
	render(w, status, "pay.html", p)
}

func (t *Twin) doPayPage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	action := r.PostFormValue("action")
	if action == "cancel" {
		t.mu.Lock()
		s, ok := t.sessions[id]
		t.mu.Unlock()
		if !ok || s.cancelURL == "" {
			t.renderPay(w, id, "", http.StatusOK)
			return
		}
		http.Redirect(w, r, s.cancelURL, http.StatusSeeOther)
		return
	}
	if action == "" {
		action = MethodCard
	}
	res, err := t.pay(id, PayRequest{Method: action})
	switch {
	case err != nil:
		t.renderPay(w, id, strings.TrimPrefix(err.Error(), "twin: "), http.StatusConflict)
	case res.Redirect == "":
		t.renderPay(w, id, "Your card was declined. Nothing was taken; you can try again.", http.StatusPaymentRequired)
	default:
		http.Redirect(w, r, res.Redirect, http.StatusSeeOther)
	}
}

type rated struct {
	Name Fault
	Rate float64
}

type counted struct {
	Name string
	N    int
}

func (t *Twin) showControlPage(w http.ResponseWriter, r *http.Request) {
	state := t.view()
	latest := url.Values{"limit": {"30"}}
	sessions, _ := t.listSessions(latest)
	events, _ := t.listEvents(latest)
	slices.Reverse(sessions)
	slices.Reverse(events)
	var faults []rated
	var shots []Fault
	for _, f := range Faults {
		if requestFault(f) && f != Slow {
			shots = append(shots, f)
		}
		if f != Slow {
			faults = append(faults, rated{f, state.Faults.Rates[f]})
		}
	}
	var routes []string
	for _, e := range slices.Concat(sessionEndpoints, paymentEndpoints, refundEndpoints) {
		routes = append(routes, e.route)
	}
	render(w, http.StatusOK, "control.html", map[string]any{
		"State": state, "Totals": t.Ledger().Totals, "Sessions": sessions, "Events": events,
		"Faults": faults, "Shots": shots, "Routes": routes, "Counters": countersByName(state.Counters),
		"Done": r.URL.Query().Get("done"), "Problem": r.URL.Query().Get("problem"),
	})
}

func countersByName(c Counters) []counted {
	raw, err := json.Marshal(c)
	if err != nil {
		panic("twin: the counters cannot be encoded: " + err.Error())
	}
	byName := map[string]any{}
	_ = json.Unmarshal(raw, &byName)
	var out []counted
	for name, v := range byName {
		if n, ok := v.(float64); ok {
			out = append(out, counted{name, int(n)})
		}
	}
	for answer, n := range c.Answers {
		out = append(out, counted{answer, n})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (t *Twin) doControlPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	done, err := t.act(r.Context(), r.PathValue("what"), r)
	back := url.Values{"done": {done}}
	if err != nil {
		back = url.Values{"problem": {strings.TrimPrefix(err.Error(), "twin: ")}}
	}
	http.Redirect(w, r, "/_twin/?"+back.Encode(), http.StatusSeeOther)
}

// act carries out one order of the control page and says what was done.
func (t *Twin) act(ctx context.Context, what string, r *http.Request) (string, error) {
	id := r.PostFormValue("id")
	switch what {
	case "session":
		return t.actOnSession(ctx, id, r.PostFormValue("action"))
	case "redeliver":
		times, err := strconv.Atoi(r.PostFormValue("times"))
		if err != nil {
			return "", badRequest("how many times?")
		}
		answers, err := t.redeliver(ctx, id, Redelivery{Times: times})
		return fmt.Sprintf("Sent %d times; answers %v.", len(answers), statuses(answers)), err
	case "faults":
		seed, err := strconv.ParseUint(r.PostFormValue("seed"), 10, 64)
		if err != nil {
			return "", badRequest("the seed is no number")
		}
		in := FaultSettings{Seed: seed, Rates: Rates{}}
		for _, f := range Faults {
			if v := r.PostFormValue(string(f)); v != "" && v != "0" {
				if in.Rates[f], err = strconv.ParseFloat(v, 64); err != nil {
					return "", badRequest("the share of %s is no number", f)
				}
			}
		}
		_, err = t.setFaults(in)
		return "The faults are set.", err
	case "shot":
		return "The fault is ordered.", t.addShot(Shot{Route: r.PostFormValue("route"), Fault: Fault(r.PostFormValue("fault"))})
	case "clock":
		offset, err := strconv.ParseInt(r.PostFormValue("offset"), 10, 32)
		if err != nil {
			return "", badRequest("the seconds are no number")
		}
		t.setClock(Clock{OffsetSeconds: offset})
		return "The time is set.", nil
	}
	return "", badRequest("there is no order %q", what)
}

func (t *Twin) actOnSession(ctx context.Context, id, action string) (string, error) {
	switch action {
	case MethodCard, MethodDecline, MethodDelayed, "force":
		in := PayRequest{Method: action}
		if action == "force" {
			in = PayRequest{Force: true}
		}
		res, err := t.pay(id, in)
		return "The payment is " + res.Outcome + ".", err
	case "arrives", "fails":
		res, err := t.finish(id, action == "arrives", nil)
		return "The payment is " + res.Outcome + ".", err
	case "expire":
		_, err := t.expireNow(id)
		return "The session expired.", err
	case "refund":
		v, err := t.refundFromDashboard(RefundOrder{Session: id})
		return "The refund is " + v.Status + ".", err
	case "forge":
		f, err := t.forge(ctx, Forgery{Kind: ForgeWrongSecret, Session: id})
		return fmt.Sprintf("The forgery was answered with %d.", f.Status), err
	}
	return "", badRequest("there is no action %q", action)
}

func statuses(answers []Delivered) []int {
	var out []int
	for _, a := range answers {
		out = append(out, a.Status)
	}
	return out
}
