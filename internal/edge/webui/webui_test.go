package webui_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"html"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/media"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/edge"
	"proofroom/internal/edge/webui"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/people"
	"proofroom/internal/flow/refund"
	"proofroom/internal/flow/settle"
	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/pgtest"
	"proofroom/internal/testkit/till"
)

const password = "correct horse battery"

// noJobs takes jobs that no test here waits for.
type noJobs struct{}

func (noJobs) EnqueueTx(context.Context, pgx.Tx, string, ...river.JobArgs) error { return nil }

// world is the pages on real services: a database, a store of pictures, and the
// stand-in for Stripe.
type world struct {
	t        *testing.T
	db       *pgtest.DB
	url      string
	twin     *twin.Control
	twinURL  string
	accounts *account.Service
	catalog  *catalog.Service
	checkout *checkout.Service
	creator  uuid.UUID
	event    catalog.Event
	photos   []uuid.UUID
	picture  []byte
	logs     *bytes.Buffer
	logsLock *sync.Mutex
}

func (w *world) Write(p []byte) (int, error) {
	w.logsLock.Lock()
	defer w.logsLock.Unlock()
	return w.logs.Write(p)
}

// start opens a shop that takes cards, and payments by others besides.
func start(t *testing.T, others ...payment.Provider) *world {
	t.Helper()
	db := pgtest.New(t)
	tw := twin.New(twin.Config{RetryUnit: 20 * time.Millisecond})
	stand := httptest.NewServer(tw.Handler())
	t.Cleanup(func() { stand.Close(); tw.Close() })
	w := &world{t: t, db: db, twin: &twin.Control{Base: stand.URL}, twinURL: stand.URL, logs: &bytes.Buffer{}, logsLock: &sync.Mutex{}}
	log := obs.Log(w, slog.LevelInfo)

	card, err := stripe.New(stripe.Config{
		Account: "main", SecretKey: twin.DefaultSecretKey, WebhookSecrets: []string{"whsec_test"}, BaseURL: stand.URL,
	})
	require.NoError(t, err)
	providers := append(payment.Providers{card}, others...)
	settler := settle.New(ledger.New(), outbox.Store{Host: "example.com"}, noJobs{})
	drainer := inbox.NewDrainer(db.Pool, log, map[string]payment.Applier{payment.ApplierOrder: settler})
	server := httptest.NewUnstartedServer(nil)
	w.url = "http://" + server.Listener.Addr().String()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = bucket.Close() })

	w.accounts = account.New(db.Pool)
	w.catalog = catalog.New(db.Pool, catalog.Config{})
	w.checkout = checkout.New(db.Pool, checkout.Config{
		PublicURL: w.url, Waits: []time.Duration{time.Hour}, GiveUp: 72 * time.Hour, Problem: edge.Render,
	}, log, providers, inbox.NewAsker(db.Pool, providers, drainer))
	pages := webui.New(webui.Deps{
		Log: log, Cookies: edge.Cookies{Plain: true}, PayOrigins: []string{stand.URL}, Limits: edge.Limits{DB: db.Pool}, Pool: db.Pool, Accounts: w.accounts, People: people.New(db.Pool, outbox.Store{Host: "example.com"}), Catalog: w.catalog,
		Pictures: media.New(db.Pool, media.NewStore(bucket), nil, nil, media.Config{}), Checkout: w.checkout,
		Original: func(photoID uuid.UUID) string { return "/originals/" + photoID.String() },
		Operating: webui.Operating{
			Desk: inbox.NewDesk(db.Pool, providers, inbox.NewFetcher(db.Pool, log, providers, nil, drainer.Wake), drainer),
			Orders: func(ctx context.Context, f order.Filter) ([]order.Found, error) {
				return order.Store{}.Search(ctx, db.Pool, f)
			},
			Refunds: refund.New(db.Pool, log, settler, noJobs{}, settle.QueueMoney, providers, inbox.NewAsker(db.Pool, providers, drainer)),
		},
	})
	server.Config.Handler = obs.HTTP{Log: log, Metrics: obs.NewHTTPMetrics()}.Wrap(pages)
	server.Start()
	t.Cleanup(server.Close)

	var picture bytes.Buffer
	require.NoError(t, jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 48, 32)), nil))
	w.picture = picture.Bytes()
	require.NoError(t, bucket.WriteAll(t.Context(), "picture", w.picture, nil))
	_, w.creator, err = w.accounts.Provision(t.Context(), "creator@example.com", password, "test", []account.Role{account.Creator})
	require.NoError(t, err)
	w.event = w.newEvent("Harbour run", catalog.Public, catalog.PriceList{
		Currency: "EUR", Photo: 500, Event: 3000, Bundles: []catalog.Bundle{{Photos: 3, Price: 1200}},
	})
	w.photos = w.stock(w.event, 5)
	return w
}

// serve puts another handler in the place of the pages.
func (w *world) serve(h http.Handler) {
	w.t.Helper()
	s := httptest.NewServer(obs.HTTP{Log: obs.Log(w, slog.LevelInfo), Metrics: obs.NewHTTPMetrics()}.Wrap(h))
	w.t.Cleanup(s.Close)
	w.url = s.URL
}

func (w *world) newEvent(title string, v catalog.Visibility, prices catalog.PriceList) catalog.Event {
	w.t.Helper()
	n := catalog.NewEvent{
		CreatorID: w.creator, Title: title, Visibility: v, CommissionBps: 1500, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00", Prices: prices,
	}
	if v == catalog.WithCode {
		n.AccessCode = "SAND-42"
	}
	e, err := w.catalog.CreateEvent(w.t.Context(), n)
	require.NoError(w.t, err)
	e, err = w.catalog.Publish(w.t.Context(), catalog.By{ID: w.creator}, e.ID)
	require.NoError(w.t, err)
	return e
}

// stock adds n photographs that the darkroom has developed.
func (w *world) stock(e catalog.Event, n int) []uuid.UUID {
	w.t.Helper()
	hash := sha256.Sum256(w.picture)
	var out []uuid.UUID
	for i := range n {
		photo := id.New()
		w.owner(`INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
			VALUES ($1, $2, $3, sha256($4::bytea), $5, 'ready', 1500, 1000)`, photo, e.ID, w.creator, photo[:], fmt.Sprintf("photo-%d.jpg", i))
		for _, kind := range []string{"480", "preview"} {
			w.owner(`INSERT INTO blobs (photo_id, kind, key, format, width, height, bytes, sha256) VALUES ($1, $2, 'picture', 'image/jpeg', 48, 32, $3, $4)`,
				photo, kind, len(w.picture), hash[:])
		}
		out = append(out, photo)
	}
	return out
}

func (w *world) owner(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Owner.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) count(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

// browser keeps cookies and shows redirects.
type browser struct {
	w      *world
	client *http.Client
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	return &browser{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type page struct {
	status int
	header http.Header
	body   string
}

func (b *browser) send(method, path string, form url.Values, header map[string]string) page {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if !strings.HasPrefix(path, "http") {
		path = b.w.url + path
	}
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, path, body)
	require.NoError(b.w.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := b.client.Do(req)
	require.NoError(b.w.t, err)
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	require.NoError(b.w.t, err)
	p := page{res.StatusCode, res.Header, string(content)}
	if strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
		require.False(b.w.t, strings.Contains(p.body, "<script"), "a page with script")
		require.True(b.w.t, strings.Contains(p.body, "</html>"), "a whole page")
	}
	return p
}

func (b *browser) get(path string) page {
	b.w.t.Helper()
	return b.send(http.MethodGet, path, nil, nil)
}

func (b *browser) post(path string, form url.Values) page {
	b.w.t.Helper()
	return b.send(http.MethodPost, path, form, nil)
}

// want checks the status and that the page says all of this.
func (p page) want(t *testing.T, status int, texts ...string) page {
	t.Helper()
	require.Equal(t, status, p.status, p.body)
	for _, s := range texts {
		require.True(t, strings.Contains(html.UnescapeString(p.body), s), "%q is missing in: %s", s, p.body)
	}
	return p
}

func (p page) not(t *testing.T, texts ...string) page {
	t.Helper()
	for _, s := range texts {
		require.False(t, strings.Contains(html.UnescapeString(p.body), s), "%q is in: %s", s, p.body)
	}
	return p
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// form is the hidden part of the page's form.
func (p page) form() url.Values {
	out := url.Values{}
	for _, m := range hiddenInput.FindAllStringSubmatch(p.body, -1) {
		out.Add(m[1], html.UnescapeString(m[2]))
	}
	return out
}

// review opens the page before paying.
func (b *browser) review(photos ...uuid.UUID) page {
	b.w.t.Helper()
	q := url.Values{}
	for _, p := range photos {
		q.Add("photo", p.String())
	}
	return b.get("/e/" + b.w.event.Slug + "/checkout?" + q.Encode())
}

func (w *world) pay(session string) {
	w.t.Helper()
	_, err := w.twin.Pay(w.t.Context(), session, twin.PayRequest{})
	require.NoError(w.t, err)
}

func (w *world) lastSession() string {
	w.t.Helper()
	all, err := w.twin.Sessions(w.t.Context(), twin.SessionFilter{})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, all)
	return all[len(all)-1].ID
}

// A guest's whole way: find, choose, review, pay, download.
func TestGuestBuys(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	b.get("/").want(t, 200, "Harbour run", "12 June 2026, 18:30 to 23:00 (Europe/Lisbon)")
	event := b.get("/e/"+w.event.Slug).want(t, 200, "One photograph: €5.00", "Any 3 photographs: €12.00", "later ones too: €30.00", "photo-4.jpg")
	require.Equal(t, 5, strings.Count(event.body, `type="checkbox"`))
	require.Zero(t, w.count("SELECT count(*) FROM guest_sessions"), "looking makes nobody a buyer")

	review := b.review(w.photos[0], w.photos[1], w.photos[2]).want(t, 200, "photo-0.jpg (in a bundle)", "€4.00", "€12.00", "Go on to pay €12.00")
	f := review.form()
	require.Equal(t, "1200", f.Get("total"))
	require.Len(t, f["photo"], 3)
	f.Set("email", "Guest@Example.com")
	path := "/e/" + w.event.Slug + "/checkout"

	paying := b.post(path, f).want(t, 303)
	require.True(t, strings.HasPrefix(paying.header.Get("Location"), w.twinURL), paying.header.Get("Location"))
	again := b.post(path, f).want(t, 303)
	require.Equal(t, paying.header.Get("Location"), again.header.Get("Location"), "the same form orders nothing twice")
	require.Equal(t, 1, w.count("SELECT count(*) FROM orders"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM orders WHERE email = 'guest@example.com' AND buyer_guest IS NOT NULL"))

	var orderID uuid.UUID
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), "SELECT id FROM orders").Scan(&orderID))
	order := "/o/" + orderID.String()
	b.get(order).want(t, 200, "Waiting for payment", "Pay €12.00", "Check again").not(t, "/originals/")
	b.post(order+"/check", url.Values{}).want(t, 303)
	b.get(order).want(t, 200, "Waiting for payment").not(t, "The receipt goes to", "We mail you")
	b.get(order+"?from=canceled").want(t, 200, "You came back without paying. Nothing was taken.", "Pay €12.00")

	w.pay(w.lastSession())
	b.get(order).want(t, 200, "Waiting for payment") // nobody was asked
	paid := b.get(order+"?from=paid").want(t, 200, "Paid", "The receipt goes to guest@example.com")
	for _, p := range w.photos[:3] {
		require.True(t, strings.Contains(paid.body, `href="/originals/`+p.String()+`"`))
	}
	b.get("/library").want(t, 200, "photo-0.jpg", "photo-2.jpg", "Harbour run").not(t, "photo-3.jpg")
	b.get("/library/"+w.event.ID.String()).want(t, 200, "photo-0.jpg", "photo-2.jpg").not(t, "photo-3.jpg")
	owned := b.get("/e/"+w.event.Slug).want(t, 200, "Yours.")
	require.Equal(t, 2, strings.Count(owned.body, `type="checkbox"`), "what is owned cannot be chosen")

	// Others see nothing of it.
	other := w.browser()
	other.get(order).want(t, 401, "Sign in first", "/signin?next="+url.QueryEscape(order))
	other.review(w.photos[0]) // becomes a guest
	other.get(order).want(t, 404, "There is no such order")
	other.post(order+"/check", url.Values{}).want(t, 404)
	other.get("/library").want(t, 200, "There is nothing here yet")
	other.get("/library/"+w.event.ID.String()).want(t, 404)
}

// Who can pay in several ways chooses, without a script, and is told of each that
// is none why.
func TestChoosingHowToPay(t *testing.T) {
	t.Parallel()
	second, large := till.Keyed("second"), till.Keyed("large")
	second.Least, large.Least = 30, 10_00
	w := start(t, second, large)
	b := w.browser()
	review := b.review(w.photos[0]).want(t, 200, "How to pay", "Card (Stripe)", "Card (Second)", "Large takes no less than €10.00.")
	require.Equal(t, 2, strings.Count(review.body, `type="radio"`))
	require.Equal(t, 1, strings.Count(review.body, " checked"), "the first is chosen")
	path := "/e/" + w.event.Slug + "/checkout"
	f := review.form()
	f.Set("provider", "second")
	f.Set("email", "nowhere")
	wrong := b.post(path, f).want(t, 422)
	require.Contains(t, wrong.body, `value="second" checked`, "what was chosen stays chosen")
	f.Set("email", "guest@example.com")
	to := b.post(path, f).want(t, 303).header.Get("Location")
	require.Equal(t, "https://second.test/second_1", to)
	require.Equal(t, 1, w.count("SELECT count(*) FROM attempts WHERE provider = 'second'"))

	// Another way for the same cart closes the first page.
	f = b.review(w.photos[0]).form()
	f.Set("provider", "stripe")
	f.Set("email", "guest@example.com")
	require.True(t, strings.HasPrefix(b.post(path, f).want(t, 303).header.Get("Location"), w.twinURL))
	require.Equal(t, "closed", second.Pages()[0].State)
	f.Set("key", id.New().String())
	f.Set("provider", "large")
	b.post(path, f).want(t, 422, "The smallest payment is €10.00")

	// Where nobody takes it, there is nothing to press.
	w.event = w.newEvent("Elsewhere", catalog.Public, catalog.PriceList{Currency: "EUR", Photo: 20})
	b.review(w.stock(w.event, 1)[0]).want(t, 200, "It cannot be paid here at the moment", "Stripe takes no less than €0.50.").form()
}

// A form that a double click sends twice comes from one buyer and is one order.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	f := b.review(w.photos[0]).form()
	f.Set("email", "guest@example.com")
	var wg sync.WaitGroup
	got := make([]page, 6)
	for i := range got {
		wg.Go(func() { got[i] = b.post("/e/"+w.event.Slug+"/checkout", f) })
	}
	wg.Wait()
	to := map[string]bool{}
	for _, p := range got {
		switch p.status {
		case 303:
			to[p.header.Get("Location")] = true
		case 409: // the first is still at work
			require.NotEmpty(t, p.header.Get("Retry-After"))
		default:
			t.Fatalf("status %d: %s", p.status, p.body)
		}
	}
	require.Len(t, to, 1)
	require.Equal(t, 1, w.count("SELECT count(*) FROM orders"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM guest_sessions"))
	sessions, err := w.twin.Sessions(t.Context(), twin.SessionFilter{})
	require.NoError(t, err)
	require.Len(t, sessions, 1)
}

func TestAccountBuysTheWholeEvent(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	whole := "/e/" + w.event.Slug + "/checkout?whole=1"
	b.get(whole).want(t, 200, "Sign in", "/signin?next="+url.QueryEscape(whole))

	b.post("/signup", url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "password": {password}, "next": {whole}}).want(t, 303)
	review := b.get(whole).want(t, 200, "All photographs of the event, later ones too", "€30.00").not(t, "for the receipt")
	b.post("/e/"+w.event.Slug+"/checkout", review.form()).want(t, 303)
	require.Equal(t, 1, w.count("SELECT count(*) FROM orders WHERE email = 'ada@example.com' AND buyer_account IS NOT NULL"))
	var orderID uuid.UUID
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), "SELECT id FROM orders").Scan(&orderID))
	w.pay(w.lastSession())
	b.get("/o/"+orderID.String()+"?from=paid").want(t, 200, "Paid", "/library/"+w.event.ID.String())
	b.get("/library").want(t, 200, "All photographs")
	b.get("/e/"+w.event.Slug).want(t, 200, "You have all photographs of this event").not(t, `type="checkbox"`)

	// Later ones too, and what is taken down stays with who bought it.
	w.stock(w.event, 1)
	w.owner("UPDATE photos SET hidden_at = app_now() WHERE id = $1", w.photos[1])
	b.get("/library/"+w.event.ID.String()).want(t, 200, "/originals/"+w.photos[1].String())
	require.Equal(t, 6, strings.Count(b.get("/library/"+w.event.ID.String()).body, "/originals/"))
}

func TestFreeEvent(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.event = w.newEvent("Open day", catalog.Unlisted, catalog.PriceList{Currency: "EUR", Free: true})
	w.photos = w.stock(w.event, 1)
	b := w.browser()
	b.get("/").want(t, 200).not(t, "Open day")
	f := b.review(w.photos[0]).want(t, 200, "Get them for free").form()
	f.Set("email", "guest@example.com")
	to := b.post("/e/"+w.event.Slug+"/checkout", f).want(t, 303).header.Get("Location")
	require.True(t, strings.HasPrefix(to, "/o/"), to)
	b.get(to).want(t, 200, "Paid", "/originals/"+w.photos[0].String())
}

// Whatever is wrong with an order is said, and nothing is ordered.
func TestCheckoutRefuses(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	f := b.review(w.photos[0]).form()
	f.Set("email", "guest@example.com")
	path := "/e/" + w.event.Slug + "/checkout"
	with := func(name string, values ...string) url.Values {
		c := url.Values{}
		for k, v := range f {
			c[k] = slices.Clone(v)
		}
		c.Set("key", id.New().String())
		if values == nil {
			c.Del(name)
		} else {
			c[name] = values
		}
		return c
	}
	b.post(path, with("total", "1")).want(t, 422, "The price has changed", "/e/"+w.event.Slug+"/checkout?photo="+w.photos[0].String())
	b.post(path, with("total", "five")).want(t, 400, "The selection cannot be read")
	b.post(path, with("currency", "USD")).want(t, 422)
	b.post(path, with("key")).want(t, 400, "The Idempotency-Key is missing")
	b.post(path, with("key", strings.Repeat("x", 256))).want(t, 400, "The Idempotency-Key cannot be used")
	b.post(path, with("photo", "1")).want(t, 400, "The selection cannot be read")
	b.post(path, with("photo")).want(t, 422)
	b.post(path, with("photo", id.New().String())).want(t, 404)
	wrong := b.post(path, with("email", "guest@nowhere")).want(t, 422, "This is not an e-mail address", "guest@nowhere", "Go on to pay €5.00")
	require.Equal(t, f.Get("total"), wrong.form().Get("total"), "the form is there again")
	b.post(path, with("email", "a\x00@example.com")).want(t, 400, "The form cannot be read")
	b.send("POST", path, nil, map[string]string{"Content-Type": "application/json"}).want(t, 400, "The form cannot be read")
	b.post(path, url.Values{"x": {strings.Repeat("x", 2<<20)}}).want(t, 400, "The form cannot be read")
	b.send("POST", path, f, map[string]string{"Sec-Fetch-Site": "cross-site"}).want(t, 403, "another site sent this request")
	w.browser().post(path, f).want(t, 401, "did not send its cookie")
	b.get("/e/"+w.event.Slug+"/checkout?photo=x").want(t, 400)
	b.get("/e/"+w.event.Slug+"/checkout").want(t, 422, "Choose at least one photograph")
	b.get("/e/"+w.event.Slug+"/checkout?photo="+id.New().String()).want(t, 404)
	require.Zero(t, w.count("SELECT count(*) FROM orders"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM guest_sessions"))

	_, err := w.catalog.Close(t.Context(), catalog.By{ID: w.creator}, w.event.ID)
	require.NoError(t, err)
	b.review(w.photos[0]).want(t, 409, "not on sale")
	b.get("/e/"+w.event.Slug).want(t, 200, "Nothing is sold here").not(t, `type="checkbox"`, "Prices")
	b.post(path, with("none")).want(t, 409)
	require.Zero(t, w.count("SELECT count(*) FROM orders"))
}

func TestChoosingOverSeveralPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.photos = append(w.photos, w.stock(w.event, 60)...)
	b := w.browser()
	first := b.get("/e/"+w.event.Slug).want(t, 200, "More photographs")
	require.Equal(t, 60, strings.Count(first.body, `type="checkbox"`))
	// As the browser sends the form: ticks of this page, and the button "more".
	q := url.Values{"photo": {w.photos[0].String(), w.photos[1].String()}, "after": {w.photos[59].String()}}
	second := b.get("/e/"+w.event.Slug+"?"+q.Encode()).want(t, 200, "2 chosen on other pages")
	require.Equal(t, 5, strings.Count(second.body, `type="checkbox"`))
	require.ElementsMatch(t, []string{w.photos[0].String(), w.photos[1].String()}, second.form()["photo"])
	q.Del("after")
	back := b.get("/e/" + w.event.Slug + "?" + q.Encode())
	require.Equal(t, 2, strings.Count(back.body, " checked"))
	b.get("/e/"+w.event.Slug+"?after=x").want(t, 404)
}
