package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/catalog"
)

type eventJSON struct {
	ID, Slug, Title, Status, Visibility, Currency string
	AccessCode                                    string `json:"access_code"`
	StartsLocal                                   string `json:"starts_local"`
	StartsAt                                      string `json:"starts_at"`
	CommissionBps                                 *int   `json:"commission_bps"`
	Prices                                        struct {
		Free         bool
		Photo, Event int64
		Bundles      []catalog.Bundle
	}
	Photos map[string]int
}

const eventForm = `{"title":"Harbour Summit","timezone":"Europe/Paris","starts_local":"2026-07-14T18:00","ends_local":"2026-07-14T23:30",
	"currency":"EUR","prices":{"photo":300,"event":2500,"bundles":[{"photos":5,"price":1000}]}`

// event puts up an event on sale; more are further fields of the form.
func (w *world) event(bearer, more string) eventJSON {
	w.t.Helper()
	made := decode[eventJSON](w.t, w.do(request{method: "POST", path: "/events", bearer: bearer, body: eventForm + more + "}"}), http.StatusCreated)
	return decode[eventJSON](w.t, w.do(request{method: "POST", path: "/events/" + made.ID + "/publish", bearer: bearer}), http.StatusOK)
}

func TestAnEventsWholeWay(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	made := decode[eventJSON](t, w.do(request{method: "POST", path: "/events", bearer: ada, body: eventForm + "}"}), http.StatusCreated)
	require.Equal(t, "draft", made.Status)
	require.Equal(t, "harbour-summit", made.Slug)
	require.Equal(t, "2026-07-14T18:00", made.StartsLocal)
	require.Equal(t, "2026-07-14T16:00:00Z", made.StartsAt)
	require.Equal(t, 1500, *made.CommissionBps)
	require.Equal(t, map[string]int{"ready": 0, "processing": 0, "unreadable": 0, "hidden": 0}, made.Photos)

	path := "/events/" + made.ID
	require.Equal(t, "event.not_found", w.do(request{method: "GET", path: path}).problem(t).Code, "a draft is its creator's")
	require.Equal(t, "event.not_on_sale", w.do(request{method: "POST", path: path + "/close", bearer: ada}).problem(t).Code)
	edited := decode[eventJSON](t, w.do(request{
		method: "PATCH", path: path, bearer: ada,
		body: `{"title":"Harbour Night","ends_local":"2026-07-15T01:00","currency":"GHS","prices":{"photo":900}}`,
	}), http.StatusOK)
	require.Equal(t, "Harbour Night", edited.Title)
	require.Equal(t, "GHS", edited.Currency)
	require.Equal(t, int64(900), edited.Prices.Photo)
	require.Zero(t, edited.Prices.Event)
	priced := decode[eventJSON](t, w.do(request{
		method: "PUT", path: path + "/prices", bearer: ada,
		body: `{"photo":300,"event":2500,"bundles":[{"photos":12,"price":1900},{"photos":5,"price":1000}]}`,
	}), http.StatusOK)
	require.Equal(t, []catalog.Bundle{{Photos: 5, Price: 1000}, {Photos: 12, Price: 1900}}, priced.Prices.Bundles)
	require.Equal(t, "GHS", priced.Currency)
	for range 2 {
		require.Equal(t, "on_sale", decode[eventJSON](t, w.do(request{method: "POST", path: path + "/publish", bearer: ada}), http.StatusOK).Status)
	}

	seen := decode[eventJSON](t, w.do(request{method: "GET", path: "/events/harbour-summit"}), http.StatusOK)
	require.Equal(t, made.ID, seen.ID)
	require.Nil(t, seen.CommissionBps, "the split is nobody else's business")
	require.Equal(t, map[string]int{"ready": 0}, seen.Photos)

	quote := decode[map[string]any](t, w.do(request{method: "GET", path: path + "/quote?photos=6"}), http.StatusOK)
	require.EqualValues(t, 1300, quote["total"])
	require.Len(t, quote["lines"], 6)
	require.NotContains(t, quote, "whole_event")
	require.Equal(t, "event.cart_invalid", w.do(request{method: "GET", path: path + "/quote"}).problem(t).Code)

	require.Equal(t, "event.on_sale", w.do(request{method: "DELETE", path: path, bearer: ada}).problem(t).Code)
	require.Equal(t, "closed", decode[eventJSON](t, w.do(request{method: "POST", path: path + "/close", bearer: ada}), http.StatusOK).Status)
	require.Equal(t, http.StatusNoContent, w.do(request{method: "DELETE", path: path, bearer: ada}).status)
	require.Equal(t, "event.not_found", w.do(request{method: "GET", path: path, bearer: ada}).problem(t).Code)
}

func TestEventsWithAnAccessCode(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, bob := w.token(w.account("ada@example.com", true)), w.token(w.account("bob@example.com", true))
	e := w.event(ada, `,"visibility":"code","access_code":"Summer26"`)
	require.Equal(t, "Summer26", e.AccessCode)
	for _, path := range []string{"/events/" + e.Slug, "/events/" + e.ID, "/events/" + e.ID + "/photos", "/events/" + e.ID + "/quote?photos=1"} {
		and := "?"
		if strings.Contains(path, "?") {
			and = "&"
		}
		for _, as := range []string{"", bob, w.guest()} {
			require.Equal(t, "event.code_needed", w.do(request{method: "GET", path: path, bearer: as}).problem(t).Code, path)
			wrong := w.do(request{method: "GET", path: path + and + "code=Winter26", bearer: as})
			require.Equal(t, http.StatusForbidden, wrong.status)
			require.Equal(t, "event.code_wrong", wrong.problem(t).Code, path)
			require.Equal(t, http.StatusOK, w.do(request{method: "GET", path: path + and + "code=summer26", bearer: as}).status, path)
			byHeader := w.do(request{method: "GET", path: path, bearer: as, header: map[string]string{"Access-Code": "SUMMER26"}})
			require.Equal(t, http.StatusOK, byHeader.status, path)
			require.NotContains(t, byHeader.body, "Summer26", "who has the code is not told how it is written")
		}
		require.Equal(t, http.StatusOK, w.do(request{method: "GET", path: path, bearer: ada}).status, path)
	}
	list := decode[pageJSON](t, w.do(request{method: "GET", path: "/events"}), http.StatusOK)
	require.Empty(t, list.Items, "only public events are listed")
}

func TestOthersEventsAreNotTheirsToChange(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, bob := w.token(w.account("ada@example.com", true)), w.token(w.account("bob@example.com", true))
	attendee, operator := w.token(w.account("att@example.com", false)), w.token(w.operator())
	public := w.event(ada, "")
	draft := decode[eventJSON](t, w.do(request{method: "POST", path: "/events", bearer: ada, body: eventForm + "}"}), http.StatusCreated)
	before := w.rows()
	for _, as := range []string{bob, attendee} {
		for id, code := range map[string]string{public.ID: "event.not_yours", draft.ID: "event.not_found"} {
			for _, r := range []request{
				{method: "PATCH", path: "/events/" + id, body: `{"title":"Mine now"}`},
				{method: "PUT", path: "/events/" + id + "/prices", body: `{"free":true}`},
				{method: "POST", path: "/events/" + id + "/publish"},
				{method: "POST", path: "/events/" + id + "/close"},
				{method: "DELETE", path: "/events/" + id},
			} {
				r.bearer = as
				require.Equal(t, code, w.do(r).problem(t).Code, r.method+" "+r.path)
			}
		}
		require.Equal(t, "event.not_yours", w.do(request{method: "GET", path: "/events/" + public.ID + "/photos?everything=true", bearer: as}).problem(t).Code)
	}
	require.Equal(t, before, w.rows())
	got := decode[eventJSON](t, w.do(request{method: "PATCH", path: "/events/" + draft.ID, bearer: operator, body: `{"title":"Corrected"}`}), http.StatusOK)
	require.Equal(t, "Corrected", got.Title)

	mine := decode[pageJSON](t, w.do(request{method: "GET", path: "/me/events?limit=1", bearer: ada}), http.StatusOK)
	require.Equal(t, draft.ID, mine.Items[0]["id"])
	mine = decode[pageJSON](t, w.do(request{method: "GET", path: "/me/events?cursor=" + mine.Next, bearer: ada}), http.StatusOK)
	require.Equal(t, public.ID, mine.Items[0]["id"])
	require.Empty(t, mine.Next)
	require.Empty(t, decode[pageJSON](t, w.do(request{method: "GET", path: "/me/events", bearer: bob}), http.StatusOK).Items)
}

func TestPublicEventsInPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	for range 5 {
		w.event(ada, "")
	}
	seen := map[any]bool{}
	path := "/events?limit=2"
	for pages := 0; ; pages++ {
		require.Less(t, pages, 3)
		p := decode[pageJSON](t, w.do(request{method: "GET", path: path}), http.StatusOK)
		for _, e := range p.Items {
			require.False(t, seen[e["id"]])
			seen[e["id"]] = true
		}
		if p.Next == "" {
			break
		}
		path = "/events?limit=2&cursor=" + p.Next
	}
	require.Len(t, seen, 5)
	require.Equal(t, "request.cursor", w.do(request{method: "GET", path: "/events?cursor=x"}).problem(t).Code)
}

func TestBadEventsAreProblemsAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	e := w.event(ada, `,"slug":"taken-slug"`)
	with := func(old, replacement string) string { return strings.Replace(eventForm, old, replacement, 1) + "}" }
	post := func(body string) request { return request{method: "POST", path: "/events", body: body} }
	for name, c := range map[string]struct {
		r      request
		status int
		code   string
		field  string
	}{
		"missing zone":       {post(with(`"timezone":"Europe/Paris",`, "")), 422, "request.invalid", "timezone"},
		"unknown zone":       {post(with("Europe/Paris", "Europe/Atlantis")), 422, "event.zone_unknown", "timezone"},
		"the machine's zone": {post(with("Europe/Paris", "Local")), 422, "event.zone_unknown", "timezone"},
		"a time that is not": {post(with("2026-07-14T18:00", "2026-03-29T02:30")), 422, "event.time_skipped", "starts_local"},
		"a time twice":       {post(with("2026-07-14T23:30", "2026-10-25T02:30")), 422, "event.time_ambiguous", "ends_local"},
		"no time":            {post(with("2026-07-14T18:00", "tonight")), 422, "event.time_unreadable", "starts_local"},
		"ends first":         {post(with("2026-07-14T23:30", "2026-07-14T17:30")), 422, "event.times_order", ""},
		"currency":           {post(with(`"EUR"`, `"EUX"`)), 422, "event.currency_unknown", ""},
		"negative price":     {post(with(`"photo":300`, `"photo":-1`)), 422, "request.invalid", "prices.photo"},
		"price no number":    {post(with(`"photo":300`, `"photo":"3.00"`)), 400, "request.types", "prices.photo"},
		"half a cent":        {post(with(`"photo":300`, `"photo":2.5`)), 400, "request.types", "prices.photo"},
		"dear bundle":        {post(with(`"price":1000`, `"price":1500`)), 422, "event.prices_invalid", "bundles[0].price"},
		"free with prices":   {post(with(`"photo":300`, `"free":true,"photo":300`)), 422, "event.prices_invalid", "free"},
		"writing mark":       {post(with("Harbour Summit", `Harbour \u202eSummit`)), 422, "event.invalid", "title"},
		"no code":            {post(with(`"currency"`, `"visibility":"code","currency"`)), 422, "event.invalid", "access_code"},
		"bad visibility":     {post(with(`"currency"`, `"visibility":"secret","currency"`)), 422, "request.invalid", "visibility"},
		"bad slug":           {post(with(`"currency"`, `"slug":"../x","currency"`)), 422, "event.invalid", "slug"},
		"slug like an id":    {post(with(`"currency"`, `"slug":"01890a5d-ac96-774b-bcce-b302099a8057","currency"`)), 422, "event.invalid", "slug"},
		"taken slug":         {post(with(`"currency"`, `"slug":"taken-slug","currency"`)), 409, "event.slug_taken", ""},
		"own commission":     {post(with(`"currency"`, `"commission_bps":0,"currency"`)), 422, "request.invalid", "commission_bps"},
		"currency alone":     {request{method: "PATCH", path: "/events/" + e.ID, body: `{"currency":"USD"}`}, 422, "request.invalid", "currency"},
		"no prices on sale":  {request{method: "PUT", path: "/events/" + e.ID + "/prices", body: `{}`}, 409, "event.no_prices", ""},
		"no such event":      {request{method: "GET", path: "/events/no-such-event"}, 404, "event.not_found", ""},
		"not even a slug":    {request{method: "GET", path: "/events/..%2f..%2fetc"}, 404, "event.not_found", ""},
	} {
		c.r.bearer = ada
		before := w.rows()
		got := w.do(c.r)
		require.Equal(t, c.status, got.status, "%s: %s", name, got.body)
		p := got.problem(t)
		require.Equal(t, c.code, p.Code, name)
		if c.field != "" {
			require.NotEmpty(t, p.Errors, name)
			require.Equal(t, c.field, p.Errors[0].Name, name)
		}
		require.Equal(t, before, w.rows(), name)
	}
}
