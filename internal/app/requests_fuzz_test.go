package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
)

// Who sends a request in FuzzRequests; another number is one of these again.
const (
	aStranger = iota
	aGuest
	anAttendee
	theCreator
	anOperator
	withSession // the operator's browser
	asStripe    // signs the body
	asFlutterwave
	callers
)

// line is the way to a whole installation that is sent requests in the form in which they
// leave a client.
type line struct {
	*world
	handler  http.Handler
	names    *strings.Replacer
	bearers  [callers]string
	cookie   string
	original []byte
	from     atomic.Uint32
}

// openLine makes one of everything that a request can name: {event} and {slug},
// {photo} with its files, {order} and its {line}, {row} for an event that was
// given up, {link} from a mail.
func openLine(f *testing.F) *line {
	f.Helper()
	w := &line{world: newWorld(f)}
	ctx := f.Context()
	token := func(role account.Role) string {
		secret, _, err := w.srv.Accounts.Provision(ctx, string(role)+"@example.com", "", "test", []account.Role{role})
		require.NoError(f, err)
		return secret
	}
	w.bearers[aGuest], w.bearers[anAttendee], w.bearers[anOperator] = w.guest(), token(account.Attendee), token(account.Operator)
	var err error
	w.bearers[theCreator], _, err = w.srv.Accounts.NewToken(ctx, w.creator, "test")
	require.NoError(f, err)
	_, operator, err := w.srv.Accounts.Provision(ctx, "browser@example.com", "", "test", []account.Role{account.Operator})
	require.NoError(f, err)
	secret, until, err := w.srv.Accounts.NewSession(ctx, operator, "test")
	require.NoError(f, err)
	w.cookie = edge.Cookies{Plain: true}.Session(secret, until.ExpiresAt).String()

	var picture bytes.Buffer
	require.NoError(f, jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 48, 32)), nil))
	w.original = picture.Bytes()
	up, err := w.srv.Media.Upload(ctx, media.UploadInput{
		By: catalog.By{ID: w.creator}, EventID: w.event.ID, Name: "photo é.jpg", Reader: bytes.NewReader(w.original),
	})
	require.NoError(f, err)
	exec := func(sql string, args ...any) {
		_, err := w.db.Owner.Exec(ctx, sql, args...)
		require.NoError(f, err)
	}
	exec(`UPDATE photos SET state = 'ready', width = 48, height = 32 WHERE id = $1`, up.ID)
	exec(`INSERT INTO blobs (photo_id, kind, key, format, width, height, bytes, sha256)
		SELECT photo_id, '480', key, format, 48, 32, bytes, sha256 FROM blobs WHERE photo_id = $1`, up.ID)
	orderID, _ := w.order(w.bearers[anAttendee], "first", w.photos[0])
	var line string
	require.NoError(f, w.db.Owner.QueryRow(ctx, `SELECT id FROM order_lines WHERE order_id = $1`, orderID).Scan(&line))
	row := payment.Row{ID: id.New(), Provider: "stripe", Account: "main", Body: []byte("{}"), Receipt: payment.Receipt{
		EventID: "evt_dead", EventType: "charge.refunded", ObjectID: "ch_1", Class: payment.ClassPointer, Applier: payment.ApplierOrder,
	}}
	tx, err := w.db.Owner.Begin(ctx)
	require.NoError(f, err)
	_, err = payment.Inbox{}.Store(ctx, tx, []payment.Row{row})
	require.NoError(f, err)
	_, err = tx.Exec(ctx, `UPDATE inbox SET state = 'dead', done_at = app_now(), note = 'given up' WHERE id = $1`, row.ID)
	require.NoError(f, err)
	link, _, err := account.Book{}.IssueLinkTx(ctx, tx, account.Link{ID: id.New(), Email: "mail@example.com"}, time.Hour)
	require.NoError(f, err)
	require.NoError(f, tx.Commit(ctx))

	w.names = strings.NewReplacer("{event}", w.event.ID.String(), "{slug}", w.event.Slug, "{photo}", up.ID.String(),
		"{order}", orderID, "{line}", line, "{row}", row.ID.String(), "{link}", link)
	w.handler = obs.HTTP{Log: slog.New(slog.DiscardHandler), Metrics: obs.NewHTTPMetrics()}.Wrap(w.srv.routes())
	return w
}

// send gives the server a request as it would read it off a connection; nil when
// net/http itself would refuse it.
func (w *line) send(t *testing.T, who byte, method, target, header, body string) *httptest.ResponseRecorder {
	t.Helper()
	target, header, body = w.names.Replace(target), w.names.Replace(header), w.names.Replace(body)
	if header != "" && !strings.HasSuffix(header, "\r\n") {
		header += "\r\n"
	}
	header += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	switch who %= callers; who {
	case withSession:
		header += "Cookie: " + w.cookie + "\r\n"
	case asStripe:
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: webhookSecret, Timestamp: time.Now()})
		header += "Stripe-Signature: " + signed.Header + "\r\n"
	case asFlutterwave:
		header += "Verif-Hash: " + secretHash + "\r\n"
	case aGuest, anAttendee, theCreator, anOperator:
		header += "Authorization: Bearer " + w.bearers[who] + "\r\n"
	}
	raw := method + " " + target + " HTTP/1.1\r\nHost: localhost:1\r\n" + header + "\r\n" + body
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil || r.Host == "" {
		return nil
	}
	for _, values := range r.Header {
		for _, v := range values {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return nil
			}
		}
	}
	// From another place each time: not the limits are to be tried.
	n := w.from.Add(1)
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", byte(n>>16), byte(n>>8), byte(n))
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r.WithContext(t.Context()))
	return answer
}

// Whatever is sent, by whomever, to any address of an installation is answered
// with what was asked for or with what is wrong with it, and is never our fault.
func FuzzRequests(f *testing.F) {
	w := openLine(f)
	const (
		asJSON = "Content-Type: application/json"
		asForm = "Content-Type: application/x-www-form-urlencoded"
		api    = "/api/v1"
	)
	for _, s := range []struct {
		who                          byte
		method, target, header, body string
	}{
		{aStranger, "GET", "/", "", ""},
		{aStranger, "GET", "/?after={event}", "", ""},
		{aStranger, "GET", api + "/events?limit=1", "", ""},
		{aStranger, "GET", api + "/events?cursor=eyJzdGFydHMiOiIyMDI2LTA2LTEyVDE3OjMwOjAwWiIsImlkIjoiMDE5MGE1ZDAtYWM5Ni03NzRiLWJjY2UtYjMwMjA5OWE4MDU3In0", "", ""},
		{aStranger, "GET", api + "/events/{slug}/quote?photos=3", "Access-Code: x", ""},
		{anOperator, "GET", api + "/operator/orders?email=A@b.example&%zz", "", ""},
		{anOperator, "GET", api + "/operator/orders?email=%00&%zz", "", ""},
		{withSession, "GET", "/operator/orders?email=%00&state=%zz", "", ""},
		{withSession, "GET", "/operator/queue/events/{row}", "", ""},
		{withSession, "POST", "/operator/orders/{order}/preview", asForm, "kind=acknowledge&subject=x&line={line}"},
		{anOperator, "POST", api + "/operator/inbox/{row}/preview", asJSON, ""},
		{anOperator, "POST", api + "/operator/orders/{order}/decisions", asJSON, `{"kind":"return","subject":"x","note":"y","lines":["{line}"]}`},
		{anOperator, "POST", api + "/orders/{order}/refunds", asJSON + "\r\nIdempotency-Key: k", `{"reason":"x"}`},
		{aGuest, "POST", api + "/checkouts", asJSON + "\r\nIdempotency-Key: k", `{"event_id":"{event}","photos":["{photo}"],"total":500,"currency":"EUR","email":"a@b.example"}`},
		{aStranger, "POST", api + "/sessions", asJSON + "\r\nUser-Agent: \xff\x80", `{"email":"a@b.example","password":"x"}`},
		{theCreator, "POST", api + "/events", asJSON, `{"title":"A run","timezone":"Europe/Paris","starts_local":"2026-03-29T02:30","ends_local":"2026-03-29T05:00","currency":"EUR","prices":{"photo":500,"bundles":[{"photos":3,"price":1200}]}}`},
		{theCreator, "POST", api + "/events/{event}/photos", "Content-Type: multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=files; filename*=UTF-8''a%0D%0Ab.jpg\r\n\r\n\xff\xd8\xff\r\n--x--\r\n"},
		{theCreator, "GET", api + "/photos/{photo}/original", "Range: bytes=0-9", ""},
		{aGuest, "GET", "/e/{slug}?photo={photo}&after={photo}", "Cookie: code=AAA; guest=\"", ""},
		{aGuest, "POST", "/e/{slug}/checkout", asForm, "photo={photo}&key=k&total=500&currency=EUR&email=a%40b.example"},
		{aStranger, "POST", "/signin", asForm, "email=a%40b.example&password=x&next=%2F%2Fevil.example"},
		{aStranger, "POST", "/link/{link}", asForm, ""},
		{asStripe, "POST", "/webhooks/stripe/main", "", `{"id":"evt_1","object":"event","created":1,"livemode":false,"type":"charge.refunded","data":{"object":{"id":"ch_1"}}}`},
		{asFlutterwave, "POST", "/webhooks/flutterwave/main", "", `{"event":"charge.completed","data":{"id":1,"status":"successful"}}`},
		{aStranger, "POST", "/webhooks/paypal/main", "Paypal-Cert-Url: https://evil.example/c", `{"id":"WH-1"}`},
	} {
		f.Add(s.who, s.method, s.target, s.header, s.body)
	}
	f.Fuzz(func(t *testing.T, who byte, method, target, header, body string) {
		if got := w.send(t, who, method, target, header, body); got != nil {
			w.judge(t, got, method)
		}
	})
}

// judge checks what every answer must be.
func (w *line) judge(t *testing.T, got *httptest.ResponseRecorder, method string) {
	t.Helper()
	require.Less(t, got.Code, http.StatusInternalServerError, "%s", got.Body)
	for name, values := range got.Header() {
		for _, v := range values {
			require.NotContains(t, v, "\n", name)
			require.False(t, strings.ContainsFunc(v, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }), "%s: %q", name, v)
		}
	}
	if to := got.Header().Get("Location"); to != "" {
		u, err := url.Parse(to)
		require.NoError(t, err)
		ours := u.Host == "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.Contains(to, `\`)
		require.True(t, ours || strings.HasPrefix(to, w.twin.Base+"/"), to)
	}
	kind, _, _ := mime.ParseMediaType(got.Header().Get("Content-Type"))
	switch {
	case method == http.MethodHead, got.Body.Len() == 0:
	case kind == edge.MediaType:
		var p edge.Problem
		require.NoError(t, json.Unmarshal(got.Body.Bytes(), &p))
		require.Equal(t, got.Code, p.Status)
		require.NotEmpty(t, p.Code)
	case kind == "application/json":
		require.Less(t, got.Code, http.StatusBadRequest)
		require.True(t, json.Valid(got.Body.Bytes()))
	case kind == "text/html":
		require.True(t, utf8.Valid(got.Body.Bytes()))
		require.NotContains(t, strings.ToLower(got.Body.String()), "<script")
	}
}

// What is served of an original is what was put up: a part of it that was asked
// for, all of it, or nothing, whatever the conditions say.
func FuzzDownload(f *testing.F) {
	w := openLine(f)
	for _, s := range [][4]string{
		{"", "", "", ""},
		{"bytes=0-9", "", "", ""},
		{"bytes=-5,0-2", "", "", ""},
		{"bytes=9-0", "*", "", ""},
		{"bytes=0-", `W/"x", "y"`, `"z"`, "Fri, 12 Jun 2026 18:30:00 GMT"},
		{"bytes=999999999999999999999-", "", "", ""},
		{"lines=1", "", "Fri, 12 Jun 2026 18:30:00 GMT", "x"},
	} {
		f.Add(s[0], s[1], s[2], s[3], false)
		f.Add(s[0], s[1], s[2], s[3], true)
	}
	f.Fuzz(func(t *testing.T, ranges, noneMatch, ifRange, since string, preview bool) {
		target := "/api/v1/photos/{photo}/original"
		if preview {
			target = "/e/{slug}/p/{photo}/480"
		}
		var header strings.Builder
		for name, value := range map[string]string{"Range": ranges, "If-None-Match": noneMatch, "If-Range": ifRange, "If-Modified-Since": since} {
			if value != "" && !strings.ContainsAny(value, "\r\n") {
				fmt.Fprintf(&header, "%s: %s\r\n", name, value)
			}
		}
		got := w.send(t, theCreator, "GET", target, header.String(), "")
		if got == nil {
			return
		}
		w.judge(t, got, "GET")
		kind, params, err := mime.ParseMediaType(got.Header().Get("Content-Type"))
		switch got.Code {
		case http.StatusOK:
			require.Equal(t, w.original, got.Body.Bytes())
		case http.StatusPartialContent:
			if require.NoError(t, err); kind == "image/jpeg" {
				w.isPart(t, got.Header().Get("Content-Range"), got.Body.Bytes())
				return
			}
			require.Equal(t, "multipart/byteranges", kind)
			parts := multipart.NewReader(got.Body, params["boundary"])
			for p, err := parts.NextPart(); err != io.EOF; p, err = parts.NextPart() {
				require.NoError(t, err)
				b, err := io.ReadAll(p)
				require.NoError(t, err)
				w.isPart(t, p.Header.Get("Content-Range"), b)
			}
		case http.StatusNotModified:
			require.Empty(t, got.Body.Bytes())
		default:
			require.Contains(t, []int{http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed}, got.Code)
		}
	})
}

// isPart checks that b is what a Content-Range says of the original.
func (w *line) isPart(t *testing.T, contentRange string, b []byte) {
	t.Helper()
	var first, last, size int
	_, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size)
	require.NoError(t, err, contentRange)
	require.Equal(t, len(w.original), size)
	require.Equal(t, w.original[first:last+1], b)
}
