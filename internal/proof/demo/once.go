package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/account"
)

// Checks finds out whether the system's promises hold in a database.
type Checks func(context.Context, *pgxpool.Pool) ([]Invariant, error)

// ErrNotGood says that a run fell short of what it must reach, which Once has
// told on Options.Err.
var ErrNotGood = errors.New("the demonstration did not come out as it must")

const (
	// The poller comes soon, and late enough for who returns at once.
	pollWaits = "2s,1s,2s,3s"

	refundsWanted   = 16
	downloadsWanted = 24
	repeatsWanted   = 10
)

// Once runs everything from nothing in an empty folder, drives paid orders
// through it under the provider's faults, counts what came of it, and stops
// everything. The report's last line goes to Options.Out. An error is
// ErrNotGood, or says what kept it from running.
func Once(ctx context.Context, o Options, checks Checks) error {
	begun := time.Now()
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: --once begins from nothing, so name an empty or a new folder", o.Dir)
	}
	p := newProgress(o.Err)
	defer p.end()
	who, s, err := open(ctx, o, free(), "--poll-waits", pollWaits, "--public-url", "http://127.0.0.1")
	if err != nil {
		return err
	}
	p.say("PostgreSQL, the stand-in for the provider and the server run (%.1f s).", time.Since(begun).Seconds())
	report, err := once(ctx, o, s, who, checks, p)
	report.Seconds = math.Round(time.Since(begun).Seconds()*10) / 10
	err = errors.Join(err, s.Stop())
	short := report.shortcomings()
	report.OK = err == nil && len(short) == 0
	if err == nil && len(short) > 0 {
		p.say("%v:\n%s", ErrNotGood, lines(short))
		err = ErrNotGood
	}
	p.end()
	return errors.Join(err, tell(o, report))
}

// tell prints the report: one line of JSON, or a few for people.
func tell(o Options, r Report) error {
	if o.JSON {
		return json.NewEncoder(o.Out).Encode(r)
	}
	verdict := "Everything adds up."
	if !r.OK {
		verdict = "It did NOT come out as it must."
	}
	_, err := fmt.Fprintf(o.Out, `%s
  orders      %d made, %d paid, %d refunded, %d left to a person
  webhooks    %d received, of these %d duplicates and %d out of order; %d forgeries refused, %d orders without any
  ledger      %d postings, off by %d
  downloads   %d byte for byte
  invariants  %d checked
  recount     %t
  server      %.1f MB, %.1f s in all
`, verdict, r.Orders.Created, r.Orders.Paid, r.Orders.Refunded, r.Orders.Review, r.Received, r.Duplicates, r.OutOfOrder, r.Forged, r.Dropped,
		r.Ledger.Postings, r.Ledger.Imbalance, r.Downloads.Verified, len(r.Invariants), r.Recount.OK, r.ServerRSS, r.Seconds)
	return err
}

// open starts everything with its sample accounts.
func open(ctx context.Context, o Options, at ports, extra ...string) (people, *Stack, error) {
	s, err := begin(ctx, o, at, extra...)
	if err != nil {
		return nil, nil, err
	}
	who, err := loadPeople(o.Dir)
	if err == nil {
		err = who.settle(ctx, s)
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.Stop())
	}
	return who, s, nil
}

// once is Once on a stack that runs.
func once(ctx context.Context, o Options, s *Stack, who people, checks Checks, p *progress) (Report, error) {
	r := Report{Orders: Orders{ByProvider: map[string]int{}}, Invariants: []Invariant{}}
	shop := newAPI(s.URL, buyersAtOnce)
	st, err := stock(ctx, s, who.of(account.Creator), eachShelf, p)
	if err != nil {
		return r, err
	}
	if st.drawn > 0 {
		p.say("The photographs are missing here (make assets fetches them): drawn pictures take their place.")
	}
	orders, err := sell(ctx, s, shop, st, p)
	if err != nil {
		return r, err
	}
	w, verified, err := afterwards(ctx, s, shop, orders, who.of(account.Operator), p)
	if err != nil {
		return r, err
	}
	if err := quiet(ctx, s); err != nil {
		return r, err
	}
	if err := seen(ctx, s, shop, orders); err != nil {
		return r, err
	}
	if r, err = Count(ctx, s.pool, s.Twin, w); err != nil {
		return r, err
	}
	r.Downloads.Verified = verified
	if r.ServerRSS, err = resident(s.server.process.Pid); err != nil {
		return r, err
	}
	if r.Invariants, err = checks(ctx, s.pool); err != nil {
		return r, fmt.Errorf("check the invariants: %w", err)
	}
	p.say("Counting again in another process.")
	r.Recount.OK, err = countAgain(ctx, o, s, r)
	return r, err
}

// sale number -1 is an order that nobody pays: what forgeries are about.
func unpaid(st stocked) *sale {
	return &sale{n: -1, shelf: &st.shelves[0], photos: st.shelves[0].Photos[:1]}
}

// sell makes and pays all orders, and waits until the shop knows.
func sell(ctx context.Context, s *Stack, shop *api, st stocked, p *progress) ([]*sale, error) {
	for _, sh := range st.shelves {
		if len(sh.Photos) < eachShelf {
			return nil, fmt.Errorf("%s has %d photographs, fewer than %d", sh.Title, len(sh.Photos), eachShelf)
		}
	}
	tokens := make([]string, accounts)
	numbers := make([]int, accounts)
	for i := range numbers {
		numbers[i] = i
	}
	if err := atOnce(ctx, numbers, func(ctx context.Context, n int) (err error) {
		tokens[n], err = signUp(ctx, shop, n)
		return err
	}); err != nil {
		return nil, err
	}
	orders := append(plan(st.shelves, tokens), unpaid(st))
	if err := atOnce(ctx, orders, func(ctx context.Context, sl *sale) error {
		if err := sl.order(ctx, shop); err != nil {
			return err
		}
		if sl.n < 0 {
			return nil
		}
		return sl.pay(ctx, shop, s.Twin)
	}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return orders, until(ctx, "all orders are paid", func(ctx context.Context) (bool, error) {
		var paid int
		if err := s.pool.QueryRow(ctx, `SELECT count(paid_at) FROM orders`).Scan(&paid); err != nil {
			return false, err
		}
		p.count("orders paid", paid, sales)
		return paid == sales, s.gone()
	})
}

// afterwards is what follows on a sale: downloads, refunds, late repetitions,
// forgeries. It returns what only this process has seen.
func afterwards(ctx context.Context, s *Stack, shop *api, orders []*sale, operator Person, p *progress) (Witness, int, error) {
	w := Witness{Repeated: map[string]int{}}
	var guest struct{ Token string }
	if err := shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/guest-sessions", call{}, &guest); err != nil {
		return w, 0, err
	}
	// From the end, where the provider was honest; the refunded are among them.
	paid := orders[:sales]
	tail := paid[sales-downloadsWanted:]
	verified := make(chan struct{}, len(tail))
	if err := atOnce(ctx, tail, func(ctx context.Context, sl *sale) error {
		if err := sl.download(ctx, shop, guest.Token); err != nil {
			return err
		}
		verified <- struct{}{}
		return nil
	}); err != nil {
		return w, 0, err
	}
	p.say("%d originals are downloaded, whole and in pieces, and equal what was put up.", len(verified))

	back := tail[:refundsWanted]
	if err := atOnce(ctx, back, func(ctx context.Context, sl *sale) error { return sl.refund(ctx, shop, operator) }); err != nil {
		return w, 0, err
	}
	rctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := until(rctx, "the money is back", func(ctx context.Context) (bool, error) {
		var n int
		err := s.pool.QueryRow(ctx, `SELECT count(*) FROM orders WHERE state = 'refunded'`).Scan(&n)
		p.count("orders refunded", n, refundsWanted)
		return n == refundsWanted, errors.Join(err, s.gone())
	}); err != nil {
		return w, 0, err
	}
	for _, sl := range back[:repeatsWanted] {
		acknowledged, err := sl.repeat(ctx, s.Twin)
		if err != nil {
			return w, 0, err
		}
		maps.Copy(w.Repeated, acknowledged)
	}
	var err error
	w.Forged, err = orders[sales].forge(ctx, s.Twin)
	p.say("%d old messages came again, %d were forged.", 3*len(w.Repeated), len(w.Forged))
	return w, len(verified), err
}

// quiet waits until neither the provider nor the server has anything to do.
func quiet(ctx context.Context, s *Stack) error {
	if err := s.Twin.Quiet(ctx, settleTime); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return until(ctx, "the inbox is worked", func(ctx context.Context) (bool, error) {
		var open int
		err := s.pool.QueryRow(ctx, `SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored')`).Scan(&open)
		return open == 0, errors.Join(err, s.gone())
	})
}

// seen makes sure that each buyer is told the state that the order must have,
// and that lost messages were made up for in the two ways meant.
func seen(ctx context.Context, s *Stack, shop *api, orders []*sale) error {
	err := atOnce(ctx, orders, func(ctx context.Context, sl *sale) error {
		want := "paid"
		switch {
		case sl.n < 0:
			want = "awaiting_payment"
		case sl.n >= sales-downloadsWanted && sl.n < sales-downloadsWanted+refundsWanted:
			want = "refunded"
		}
		state, err := sl.state(ctx, shop, http.MethodGet, "")
		if err == nil && state != want {
			err = fmt.Errorf("order %s is %s, not %s", sl.orderID, state, want)
		}
		return err
	})
	if err != nil {
		return err
	}
	for f, want := range map[fault]string{lostReturn: "return", lostPoll: "poll"} {
		var ids []string
		for _, sl := range orders {
			if sl.fault == f {
				ids = append(ids, sl.orderID.String())
			}
		}
		by, err := healed(ctx, s.pool, ids)
		if err != nil {
			return err
		}
		// On a machine at its limit the poller may be quicker now and then.
		if by[want] < wantOfEach || by["webhook"] > 0 {
			return fmt.Errorf("%s: %d of %d orders; all of them: %v", f, by[want], len(ids), by)
		}
	}
	return nil
}

// countAgain has a second process count, and tells what it finds.
func countAgain(ctx context.Context, o Options, s *Stack, claimed Report) (bool, error) {
	raw, err := json.Marshal(claimed)
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, o.Self, "demo-recount", "--database-url", s.Database, "--twin-url", s.Twin.Base)
	cmd.Env, cmd.Stdin, cmd.Stderr = ownEnvironment(), bytes.NewReader(raw), o.Err
	out, err := cmd.Output()
	var verdict struct{ OK bool }
	if jerr := json.Unmarshal(out, &verdict); jerr != nil {
		return false, fmt.Errorf("the recount did not come to an end: %w", errors.Join(err, jerr))
	}
	return verdict.OK && err == nil, nil
}

// resident is a process's resident memory in MB of 1,000,000 bytes.
func resident(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("the server's memory cannot be read: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return math.Round(kb*1024/1e5) / 10, err
		}
	}
	return 0, fmt.Errorf("the server's memory is not stated in /proc/%d/status", pid)
}
