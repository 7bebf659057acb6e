package twin

import (
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

	"proofroom/internal/proof/twin/host"
)

//go:embed pages/*.html
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{"show": host.Show}).ParseFS(pageFiles, "pages/*.html"))

// shownPages is how many pages and events the control page lists.
const shownPages = 30

func (t *Twin) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /_twin/{$}", t.showControlPage)
	mux.HandleFunc("POST /_twin/do/{what}", t.doControlPage)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/_twin/", http.StatusSeeOther) })
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
	state := t.host.View()
	pages := t.host.Pages(PageFilter{})
	sort.SliceStable(pages, func(i, j int) bool { return pages[i].Created.After(pages[j].Created) })
	pages = pages[:min(len(pages), shownPages)]
	events := t.host.Events(EventFilter{Limit: shownPages})
	slices.Reverse(events)
	var faults []rated
	var shots []Fault
	for _, f := range Faults {
		if host.OfRequests(f) && f != Slow {
			shots = append(shots, f)
		}
		if !host.OneShot(f) {
			faults = append(faults, rated{f, state.Faults.Rates[f]})
		}
	}
	var routes []string
	for _, p := range t.host.Providers() {
		routes = append(routes, p.Routes()...)
	}
	host.Render(w, http.StatusOK, pageTemplates, "control.html", map[string]any{
		"State": state, "Totals": t.Ledger().Totals, "Pages": pages, "Events": events,
		"Disputes": t.disputes(), "Faults": faults, "Shots": shots, "Routes": routes, "Counters": countersByName(state.Counters),
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
	case "page":
		return t.actOnPage(ctx, id, r.PostFormValue("action"))
	case "dispute":
		to := r.PostFormValue("to")
		_, err := with(t, "dispute", id, func(p host.Provider) (DisputeView, error) { return p.MoveDispute(id, to, nil) })
		return "The dispute is " + to + ".", err
	case "redeliver":
		times, err := strconv.Atoi(r.PostFormValue("times"))
		if err != nil {
			return "", host.BadRequest("how many times?")
		}
		answers, err := t.host.Redeliver(ctx, id, Redelivery{Times: times})
		return fmt.Sprintf("Sent %d times; answers %v.", len(answers), statuses(answers)), err
	case "faults":
		seed, err := strconv.ParseUint(r.PostFormValue("seed"), 10, 64)
		if err != nil {
			return "", host.BadRequest("the seed is no number")
		}
		in := FaultSettings{Seed: seed, Rates: Rates{}}
		for _, f := range Faults {
			if v := r.PostFormValue(string(f)); v != "" && v != "0" {
				if in.Rates[f], err = strconv.ParseFloat(v, 64); err != nil {
					return "", host.BadRequest("the share of %s is no number", f)
				}
			}
		}
		_, err = t.host.SetFaults(in)
		return "The faults are set.", err
	case "shot":
		return "The fault is ordered.", t.host.Shoot(Shot{Route: r.PostFormValue("route"), Fault: Fault(r.PostFormValue("fault"))})
	case "clock":
		offset, err := strconv.ParseInt(r.PostFormValue("offset"), 10, 32)
		if err != nil {
			return "", host.BadRequest("the seconds are no number")
		}
		t.host.SetClock(Clock{OffsetSeconds: offset})
		return "The time is set.", nil
	}
	return "", host.BadRequest("there is no order %q", what)
}

func (t *Twin) actOnPage(ctx context.Context, id, action string) (string, error) {
	switch action {
	case MethodCard, MethodDecline, MethodDelayed, MethodDeclined, MethodDenied, "force":
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
		_, err := t.expire(id)
		return "The page expired.", err
	case "refund":
		v, err := t.refund(RefundOrder{Ref: id})
		return "The refund is " + v.Status + ".", err
	case "dispute", "inquiry":
		v, err := t.contest(id, action == "inquiry")
		return "The payment is disputed: " + v.Status + ".", err
	case "forge":
		f, err := t.forgeOne(ctx, id)
		return fmt.Sprintf("The forgery was answered with %d.", f.Status), err
	}
	return "", host.BadRequest("there is no action %q", action)
}

// disputes are all of them, the latest first, with what each can become.
func (t *Twin) disputes() []contested {
	t.host.Lock()
	defer t.host.Unlock()
	var out []contested
	for _, p := range t.host.Providers() {
		for _, d := range p.Disputes() {
			out = append(out, contested{d, []string{DisputeUnderReview, DisputeWon, DisputeLost, DisputePrevented}})
			if d.Status == DisputeWarning {
				out[len(out)-1].Next = []string{DisputeNeedsResponse, DisputeWarningClosed}
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Created.After(out[j].Created) })
	return out[:min(len(out), shownPages)]
}

type contested struct {
	DisputeView
	Next []string
}

// contest disputes the latest payment on a page.
func (t *Twin) contest(ref string, inquiry bool) (DisputeView, error) {
	pages := t.host.Pages(PageFilter{Ref: ref})
	if len(pages) == 0 || len(pages[0].Payments) == 0 {
		return DisputeView{}, host.Conflict("nothing was paid on %q", ref)
	}
	o := DisputeOrder{Payment: pages[0].Payments[len(pages[0].Payments)-1], Warning: inquiry}
	return with(t, "payment", o.Payment, func(p host.Provider) (DisputeView, error) { return p.OpenDispute(o) })
}

// forgeOne sends the first forgery that the page's provider knows.
func (t *Twin) forgeOne(ctx context.Context, ref string) (Forged, error) {
	kinds, err := with(t, "page", ref, func(p host.Provider) ([]string, error) { return p.Forgeries(), nil })
	if err != nil {
		return Forged{}, err
	}
	return t.host.Forge(ctx, Forgery{Kind: kinds[0], Ref: ref})
}

func statuses(answers []Delivered) []int {
	var out []int
	for _, a := range answers {
		out = append(out, a.Status)
	}
	return out
}
