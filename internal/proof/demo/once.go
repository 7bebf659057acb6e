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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/account"
	"proofroom/internal/proof/twin"
)

// Checks finds out whether the system's promises hold in a database.
type Checks func(context.Context, *pgxpool.Pool) ([]Invariant, error)

// ErrNotGood says that a run fell short of what it must reach, which Once has
// told on Options.Err.
var ErrNotGood = errors.New("the demonstration did not come out as it must")

const (
	// The poller comes soon, and late enough for who returns at once.
	pollWaits = "3s,1s,2s,3s"

	lateEach     = 3 // late sales of each kind and provider
	surplusEach  = 3 // things paid twice in each way
	repeatedEach = 4 // sales of each provider whose message comes once more
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
	who, s, err := open(ctx, o, free(), "--poll-waits", pollWaits, "--public-url", "http://127.0.0.1",
		"--trusted-proxies", "127.0.0.1") // each buyer comes from an address of their own
	if err != nil {
		return err
	}
	p.say("PostgreSQL, the stand-in for the providers and the server run (%.1f s).", time.Since(begun).Seconds())
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
  orders      %d made, %d paid, %d refunded, %d in part, %d left to a person
  providers   %d paid with Stripe, %d with PayPal, %d with Flutterwave
  trouble     %d disputes, %d paid late, %d paid twice, %d found by asking only
  webhooks    %d received, of these %d duplicates and %d out of order; %d forgeries refused, %d orders without any
  ledger      %d postings, off by %d
  downloads   %d byte for byte
  invariants  %d checked
  recount     %t
  server      %.1f MB, %.1f s in all
`, verdict, r.Orders.Created, r.Orders.Paid, r.Orders.Refunded, r.Orders.Partly, r.Orders.Review,
		r.Orders.ByProvider[twin.Stripe], r.Orders.ByProvider[twin.PayPal], r.Orders.ByProvider[twin.Flutterwave],
		r.Disputes, r.Late, r.Surplus, r.HealedByPoller, r.Received, r.Duplicates, r.OutOfOrder, r.Forged, r.Dropped,
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

// run is one run of Once on a stack that runs.
type run struct {
	*Stack
	shop              *api
	st                stocked
	creator, operator Person
	p                 *progress
	orders            []*sale
}

func once(ctx context.Context, o Options, s *Stack, who people, checks Checks, p *progress) (Report, error) {
	r := Report{Orders: Orders{ByProvider: map[string]int{}}, Invariants: []Invariant{}}
	x := &run{Stack: s, shop: newAPI(s.URL, buyersAtOnce), creator: who.of(account.Creator), operator: who.of(account.Operator), p: p}
	var err error
	// One photograph more than is sold, to be taken down.
	if x.st, err = stock(ctx, s, x.creator, eachShelf+1, p); err != nil {
		return r, err
	}
	if x.st.drawn > 0 {
		p.say("The photographs are missing here (make assets fetches them): drawn pictures take their place.")
	}
	if err := x.sell(ctx); err != nil {
		return r, err
	}
	verified, err := x.afterwards(ctx)
	if err != nil {
		return r, err
	}
	w, err := x.mislead(ctx)
	if err != nil {
		return r, err
	}
	if err := x.quiet(ctx); err != nil {
		return r, err
	}
	if err := x.seen(ctx); err != nil {
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

// sell makes and pays the planned orders, and waits until the shop knows.
func (x *run) sell(ctx context.Context) error {
	for _, sh := range x.st.shelves {
		if len(sh.Photos) <= eachShelf {
			return fmt.Errorf("%s has %d photographs, not more than %d", sh.Title, len(sh.Photos), eachShelf)
		}
	}
	tokens := make([]string, accounts)
	numbers := make([]int, accounts)
	for i := range numbers {
		numbers[i] = i
	}
	if err := atOnce(ctx, numbers, func(ctx context.Context, n int) (err error) {
		tokens[n], err = signUp(ctx, x.shop, n)
		return err
	}); err != nil {
		return err
	}
	x.orders = plan(x.st.shelves, tokens)
	if err := atOnce(ctx, x.orders, func(ctx context.Context, s *sale) error {
		if err := s.order(ctx, x.shop); err != nil {
			return err
		}
		return s.pay(ctx, x.shop, x.Twin)
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return until(ctx, "all orders are paid", func(ctx context.Context) (bool, error) {
		var paid int
		if err := x.pool.QueryRow(ctx, `SELECT count(paid_at) FROM orders`).Scan(&paid); err != nil {
			return false, err
		}
		x.p.count("orders paid", paid, sales)
		return paid == sales, x.gone()
	})
}

// afterwards is what follows on a sale: downloads, refunds, disputes, money that
// comes late or twice. It returns how many downloads were right.
func (x *run) afterwards(ctx context.Context) (int, error) {
	var guest struct{ Token string }
	if err := x.shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/guest-sessions", call{}, &guest); err != nil {
		return 0, err
	}
	back := told(x.orders, refunded, parted)
	verified := make(chan struct{}, len(back))
	if err := atOnce(ctx, back, func(ctx context.Context, s *sale) error {
		if err := s.download(ctx, x.shop, guest.Token); err != nil {
			return err
		}
		verified <- struct{}{}
		return nil
	}); err != nil {
		return 0, err
	}
	x.p.say("%d originals are downloaded, whole and in pieces, and equal what was put up.", len(verified))

	if err := atOnce(ctx, back, func(ctx context.Context, s *sale) error { return s.refund(ctx, x.shop, x.operator) }); err != nil {
		return 0, err
	}
	x.p.say("%d orders are refunded, %d of them in part.", len(back), len(told(back, parted)))

	disputed := told(x.orders, won, lost, contested, warned)
	if err := atOnce(ctx, disputed, func(ctx context.Context, s *sale) error { return s.dispute(ctx, x.shop, x.Twin) }); err != nil {
		return 0, err
	}
	x.p.say("%d payments are disputed: %d won, %d lost, %d undecided, and %d only asked about.", len(disputed),
		len(told(disputed, won)), len(told(disputed, lost)), len(told(disputed, contested)), len(told(disputed, warned)))

	more := &extras{run: x, n: sales - 1}
	if err := more.late(ctx); err != nil {
		return 0, err
	}
	return len(verified), more.surplus(ctx)
}

// mislead sends old messages again and forged ones about orders that nobody
// pays. It returns what only this process has seen.
func (x *run) mislead(ctx context.Context) (Witness, error) {
	w := Witness{Repeated: map[string]int{}}
	for _, p := range providers {
		again := slices.DeleteFunc(told(x.orders, refunded), func(s *sale) bool { return s.provider != p })
		for _, s := range again[:repeatedEach] {
			acknowledged, err := s.repeat(ctx, x.Twin)
			if err != nil {
				return w, err
			}
			maps.Copy(w.Repeated, acknowledged)
		}
		unpaid := &sale{
			n: len(x.orders) + 1, shelf: &x.st.shelves[0], photos: x.st.shelves[0].Photos[:1], provider: p, want: "awaiting_payment",
		}
		if err := unpaid.order(ctx, x.shop); err != nil {
			return w, err
		}
		x.orders = append(x.orders, unpaid)
		forged, err := unpaid.forge(ctx, x.Twin)
		if err != nil {
			return w, err
		}
		w.Forged = append(w.Forged, forged...)
	}
	x.p.say("%d old messages came again, %d were forged.", 3*len(w.Repeated), len(w.Forged))
	return w, nil
}

// quiet waits until neither the providers nor the server have anything to do.
func (x *run) quiet(ctx context.Context) error {
	if err := x.Twin.Quiet(ctx, settleTime); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return until(ctx, "the inbox is worked and the money is back", func(ctx context.Context) (bool, error) {
		var left int
		err := x.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored'))
			+ (SELECT count(*) FROM refund_requests WHERE state = 'requested') + (SELECT count(*) FROM refunds WHERE status = 'pending')`).Scan(&left)
		return left == 0, errors.Join(err, x.gone())
	})
}

// seen makes sure that each buyer is told the state that the order must have,
// and that lost messages were made up for in the two ways meant.
func (x *run) seen(ctx context.Context) error {
	err := atOnce(ctx, x.orders, func(ctx context.Context, s *sale) error {
		state, err := s.state(ctx, x.shop, http.MethodGet, "")
		if err == nil && state != s.want {
			err = fmt.Errorf("order %s (%s, %q) is %s, not %s", s.orderID, s.provider, s.story, state, s.want)
		}
		return err
	})
	if err != nil {
		return err
	}
	for st, want := range map[story]string{lostReturn: "return", lostPoll: "poll"} {
		var ids []string
		for _, s := range told(x.orders, st) {
			ids = append(ids, s.orderID.String())
		}
		by, err := healed(ctx, x.pool, ids)
		if err != nil {
			return err
		}
		// On a machine at its limit the poller may be quicker now and then.
		if by[want] < wantOfEach || by["webhook"] > 0 {
			return fmt.Errorf("%s: %d of %d orders; all of them: %v", st, by[want], len(ids), by)
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
