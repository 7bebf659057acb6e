package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/media/pool"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

const (
	doctorPatience = 20 * time.Second // for one examination
	// Stripe's signatures are refused beyond five minutes.
	clockTolerance = time.Minute
	// A provider that has sold today has sent a webhook today.
	silence = 24 * time.Hour
	// What waits longer than this in the inbox is stuck, or its provider is away.
	slowAfter = 10 * time.Minute
)

type doctorCmd struct {
	Config
	JSON bool `name:"json" help:"Print one JSON object."`
}

// finding is what one examination came to.
type finding struct {
	What   string `json:"what"`
	State  string `json:"state"` // ok, look or wrong
	Detail string `json:"detail"`
}

const (
	fine  = "ok"
	look  = "look"  // works, but may not be meant
	wrong = "wrong" // something does not work
)

// Run examines the installation with the settings that serve would have, and
// fails if something is wrong. It changes nothing, save that the webhooks that it
// sends are counted as unsigned.
func (c *doctorCmd) Run(s *streams) error {
	if err := c.complete(); err != nil {
		return err
	}
	d := &doctor{cfg: c.Config}
	d.address()
	d.settings()
	d.machine()
	var running *pgxpool.Pool
	if db, err := openRunning(s.ctx, c.DatabaseURL, c.DataDir, "proofroom doctor"); err != nil {
		d.say("database", wrong, "%v", err)
	} else {
		defer db.Close()
		running = db
		d.database(s.ctx, db)
		d.tuning(s.ctx, db)
		d.backlog(s.ctx, db)
		d.heard(s.ctx, db)
	}
	d.disks(s.ctx, running)
	d.backups(time.Now())
	d.darkroom(s.ctx)
	d.mail(s.ctx)
	d.providers(s.ctx)
	d.webhooks(s.ctx)
	return d.report(s.out, c.JSON)
}

// doctor collects findings.
type doctor struct {
	cfg   Config
	found []finding
}

func (d *doctor) say(what, state, format string, args ...any) {
	d.found = append(d.found, finding{what, state, fmt.Sprintf(format, args...)})
}

func (d *doctor) report(w io.Writer, asJSON bool) error {
	bad := 0
	for _, f := range d.found {
		if f.State == wrong {
			bad++
		}
	}
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(struct {
			OK       bool      `json:"ok"`
			Findings []finding `json:"findings"`
		}{bad == 0, d.found})
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range d.found {
			if _, err := fmt.Fprintf(t, "%s\t%s\t%s\n", f.State, f.What, f.Detail); err != nil {
				return err
			}
		}
		err = t.Flush()
	}
	if err == nil && bad > 0 {
		return fmt.Errorf("%d of %d examinations found something wrong", bad, len(d.found))
	}
	return err
}

func (d *doctor) database(ctx context.Context, db *pgxpool.Pool) {
	var version, fsync, commit string
	var now time.Time
	begun := time.Now()
	err := db.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'), clock_timestamp()`).
		Scan(&version, &fsync, &commit, &now)
	if err != nil {
		d.say("database", wrong, "it does not answer: %v", err)
		return
	}
	d.say("database", fine, "PostgreSQL %s, and its schema is this program's", version)
	if fsync != "on" || commit == "off" {
		d.say("database", wrong, "fsync is %s and synchronous_commit is %s: a crash forgets payments that were acknowledged; set both to on", fsync, commit)
	}
	d.clock("the database", now, begun)
}

// clock compares somebody's time with ours. It was asked for at begun.
func (d *doctor) clock(whose string, theirs, begun time.Time) {
	off := theirs.Sub(begun.Add(time.Since(begun) / 2)).Round(time.Second)
	if off.Abs() > clockTolerance {
		d.say("clock of "+whose, wrong, "it and this machine's are %s apart: webhooks are refused as too old or too early; run a time service", off.Abs())
		return
	}
	d.say("clock of "+whose, fine, "agrees with this machine's")
}

// backlog looks for what waits for a person.
func (d *doctor) backlog(ctx context.Context, db *pgxpool.Pool) {
	inbox, err := payment.Inbox{}.Waiting(ctx, db, slowAfter)
	var review, disputes int
	if err == nil {
		review, disputes, err = order.Store{}.Waiting(ctx, db)
	}
	if err != nil {
		d.say("queue", wrong, "it cannot be read: %v", err)
		return
	}
	dead, waiting := inbox.Dead, inbox.Slow
	if dead+review+disputes+waiting == 0 {
		d.say("queue", fine, "nothing waits for a person")
		return
	}
	var parts []string
	if n := review + dead; n > 0 {
		parts = append(parts, fmt.Sprintf("%s and %s wait for a person", many(review, "order", "orders"), many(dead, "dead letter", "dead letters")))
	}
	switch {
	case disputes == 1:
		parts = append(parts, "1 dispute is open: answer it at the provider")
	case disputes > 1:
		parts = append(parts, fmt.Sprintf("%d disputes are open: answer them at the provider", disputes))
	}
	switch {
	case waiting == 1:
		parts = append(parts, "1 event has waited for more than ten minutes")
	case waiting > 1:
		parts = append(parts, fmt.Sprintf("%d events have waited for more than ten minutes", waiting))
	}
	base := d.cfg.PublicURL
	if base == "" {
		base = "http://" + d.cfg.Listen
	}
	d.say("queue", look, "%s; see %s/operator/queue", strings.Join(parts, "; "), base)
}

// many is a number of things.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// post is what came from one account in a day.
type post struct {
	events   int // taken
	payments int // heard of, in whatever way
	refused  int // of those that were signed
	since    time.Time
	last     time.Time
	why      string // of the last that was refused
	unsigned int
}

// heard looks at what each provider has sent. What is not even signed may be from
// anybody, as this doctor's own questions are: it counts as nothing.
func (d *doctor) heard(ctx context.Context, db *pgxpool.Pool) {
	providers, err := d.cfg.providers(nil)
	if err != nil {
		return // providers says why
	}
	for _, p := range providers {
		what := "webhooks of " + p.Name() + "/" + p.Account()
		got, err := postOf(ctx, db, p)
		if err != nil {
			d.say(what, wrong, "they cannot be counted: %v", err)
			continue
		}
		state, detail := got.judge()
		d.say(what, state, "%s", detail)
	}
}

func postOf(ctx context.Context, db *pgxpool.Pool, p payment.Provider) (post, error) {
	heard, err := payment.Inbox{}.HeardOf(ctx, db, p.Name(), p.Account(), silence)
	if err != nil {
		return post{}, err
	}
	got := post{events: heard.Events}
	if got.payments, err = (order.Store{}).PaymentsOf(ctx, db, p.Name(), p.Account(), silence); err != nil {
		return post{}, err
	}
	for _, r := range heard.Refusals {
		if r.Reason == payment.Unsigned {
			got.unsigned += r.Count
			continue
		}
		if got.refused == 0 { // the last of all
			got.last, got.since, got.why = r.Last, r.First, r.Reason+": "+r.Detail
		}
		if r.First.Before(got.since) {
			got.since = r.First
		}
		got.refused += r.Count
	}
	return got, nil
}

func (p post) judge() (state, detail string) {
	payments := many(p.payments, "payment", "payments")
	refused := fmt.Sprintf("%s refused since %s, last at %s: %s", many(p.refused, "was", "were"),
		p.since.UTC().Format(time.DateTime), p.last.UTC().Format(time.DateTime+" MST"), p.why)
	switch {
	case p.events == 0 && p.payments > 0 && p.refused > 0:
		return wrong, fmt.Sprintf("%s came in a day and no webhook was taken; %s", payments, refused)
	case p.events == 0 && p.payments > 0:
		return wrong, fmt.Sprintf("%s came in a day and no webhook that was signed (unsigned: %d): the endpoint at the provider is missing, off or without a secret; orders are paid late, by asking",
			payments, p.unsigned)
	case p.refused > 0:
		return look, fmt.Sprintf("%d came in a day; %s", p.events, refused)
	}
	return fine, fmt.Sprintf("%d came in a day; none was refused", p.events)
}

// mail begins a conversation with the mail server.
func (d *doctor) mail(ctx context.Context) {
	if d.cfg.SMTPHost == "" {
		d.say("mail", look, "no mail server is set: receipts and links wait")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	if err := d.cfg.mail().Try(ctx); err != nil {
		d.say("mail", wrong, "the mail server %s does not take us: %v", d.cfg.SMTPHost, err)
		return
	}
	d.say("mail", fine, "the mail server %s takes us", d.cfg.SMTPHost)
}

// address says whether serve would take the public URL.
func (d *doctor) address() {
	if d.cfg.PublicURL == "" {
		return // webhooks says so
	}
	if err := d.cfg.reachedAt(""); err != nil {
		d.say("public address", wrong, "serve would not start: %v", err)
		return
	}
	d.say("public address", fine, "%s", d.cfg.PublicURL)
}

func (d *doctor) darkroom(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	p := pool.New(pool.Config{Binary: d.cfg.Darkroom, Size: 1, Log: slog.New(slog.DiscardHandler)})
	defer p.Close()
	if err := p.Probe(ctx); err != nil {
		d.say("darkroom", wrong, "photographs cannot be developed here: %v", err)
		return
	}
	if lacks := p.Lacks(); len(lacks) > 0 {
		d.say("darkroom", look, "%s works, but this machine's kernel takes less away from it than it could (%s): a hostile photograph that takes it over gets further", d.cfg.Darkroom, strings.Join(lacks, ", "))
		return
	}
	d.say("darkroom", fine, "%s works, with everything taken away that it does not need", d.cfg.Darkroom)
}

// datedClient notes when a provider says that it is.
type datedClient struct {
	mu   sync.Mutex
	date time.Time
}

// RoundTrip implements http.RoundTripper.
func (c *datedClient) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		if at, perr := http.ParseTime(res.Header.Get("Date")); perr == nil {
			c.mu.Lock()
			c.date = at
			c.mu.Unlock()
		}
	}
	return res, err
}

// providers asks each provider about a page that does not exist: only whoever
// has the right key is told that.
func (d *doctor) providers(ctx context.Context) {
	dated := &datedClient{}
	all, err := d.cfg.providers(&http.Client{Transport: dated})
	if err != nil {
		d.say("providers", wrong, "%v", err)
		return
	}
	if len(all) == 0 {
		d.say("providers", look, "none is configured: only what is free can be ordered")
	}
	for _, p := range all {
		what := p.Name() + "/" + p.Account()
		dated.date = time.Time{}
		pctx, cancel := context.WithTimeout(ctx, doctorPatience)
		begun := time.Now()
		_, err := p.FetchCheckout(pctx, uuid.NewString())
		cancel()
		var no *payment.RejectedError
		switch {
		case err == nil, errors.Is(err, payment.ErrNotFound), errors.As(err, &no):
			d.say(what, fine, "it answers, and takes our key")
		case errors.Is(err, payment.ErrCredentials):
			d.say(what, wrong, "it refuses our key: copy it again from its dashboard, of the same mode (test or live): %v", err)
			continue
		default:
			d.say(what, wrong, "it does not answer as it should: %v", err)
			continue
		}
		if !dated.date.IsZero() {
			d.clock(p.Name(), dated.date, begun)
		}
	}
}

// webhooks sends an unsigned event to each endpoint, as the providers would: it
// must come to us and be refused by us.
func (d *doctor) webhooks(ctx context.Context) {
	all, err := d.cfg.providers(nil)
	if err != nil || len(all) == 0 {
		return
	}
	if d.cfg.PublicURL == "" {
		d.say("webhook endpoints", look, "without --public-url it is not known where they are")
		return
	}
	for _, p := range all {
		url := d.cfg.PublicURL + "/webhooks/" + p.Name() + "/" + p.Account()
		state, detail := reach(ctx, url)
		d.say("endpoint "+url, state, "%s", detail)
	}
}

func reach(ctx context.Context, url string) (state, detail string) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte("{}")))
	if err != nil {
		return wrong, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	// What answers with a redirect loses the body, and the event with it.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return wrong, fmt.Sprintf("it cannot be reached from here: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	var p struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&p); err == nil && p.Code == "webhook.refused" {
		return fine, "reaches this program, which refuses what nobody signed"
	}
	return wrong, fmt.Sprintf("answered with %d, and not by this program as it should: look at the proxy in front of it", res.StatusCode)
}
