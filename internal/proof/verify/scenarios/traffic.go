package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const (
	salesMade     = "sales"             // orders that a buyer saw paid
	newsStood     = "paid_orders"       // that stand at the end
	refundsMade   = "refunds"           // that were taken
	downloadsMade = "downloads"         // that came whole
	claimsMade    = "claims"            // guests' purchases that became an account's
	uploadsMade   = "uploads"           // photographs that were taken in
	left          = "left_unanswered"   // who did not wait for an answer to a checkout
	photosReady   = "photographs_ready" // of them, with all that is made of them
)

// derivatives are what is made of each photograph, beside its original.
const derivatives = 4

// traffic is a shop on a busy day: buyers who pay with each of the providers,
// come back, download, move to an account and ask for their money, and a creator
// who uploads. They are patient: what they are not answered they ask again. What
// they were told is kept, and must be true in the end.
type traffic struct {
	w *verify.World

	begun   atomic.Int64 // requests under way
	weather context.Context
	people  sync.WaitGroup
	close   context.CancelFunc

	mu       sync.Mutex
	serving  []*verify.Instance
	paid     map[uuid.UUID]verify.Buyer // orders whose page was paid
	refunded map[uuid.UUID]bool
	uploaded []uuid.UUID
	errs     []error
	visits   int
}

func newTraffic(w *verify.World) *traffic {
	return &traffic{w: w, serving: w.Instances, paid: map[uuid.UUID]verify.Buyer{}, refunded: map[uuid.UUID]bool{}}
}

// open lets so many buyers come at a time, one after the other, and a creator
// upload if there is a darkroom, until done.
func (t *traffic) open(ctx context.Context, buyers int, uploads bool) {
	t.weather, t.close = context.WithCancel(ctx)
	for range buyers {
		mine := rand.New(rand.NewPCG(t.w.Rand.Uint64(), t.w.Rand.Uint64()))
		t.people.Go(func() {
			for t.weather.Err() == nil {
				t.note(t.buy(ctx, mine))
			}
		})
	}
	if !uploads {
		return
	}
	seed := t.w.Rand.Uint64()
	t.people.Go(func() {
		for t.weather.Err() == nil {
			seed++
			t.upload(ctx, verify.Picture(seed, 300))
			verify.Wait(t.weather, 50*time.Millisecond)
		}
	})
}

// done lets nobody in any more and waits until all have left.
func (t *traffic) done() error {
	t.close()
	t.people.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// turnTo has everybody ask these instances from now on.
func (t *traffic) turnTo(to ...*verify.Instance) {
	t.mu.Lock()
	t.serving = to
	t.w.Instances = to
	t.mu.Unlock()
	t.w.Route(to...)
}

func (t *traffic) note(err error) {
	var refused *twin.ControlError
	if err == nil || errors.As(err, &refused) || t.weather.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, err)
}

func (t *traffic) instance(mine *rand.Rand) *verify.Instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.serving) == 0 {
		return nil
	}
	return t.serving[mine.IntN(len(t.serving))]
}

// ask sends a request to whoever serves, until good likes the answer or patience
// is over. Whatever happens, nobody is told that something unexpected happened.
func (t *traffic) ask(ctx context.Context, mine *rand.Rand, what string, good func(verify.Answer) bool, send func(*verify.Instance) verify.Answer) (a verify.Answer, ok bool) {
	deadline := time.Now().Add(t.w.Patience)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if i := t.instance(mine); i != nil {
			t.begun.Add(1)
			a = send(i)
			t.begun.Add(-1)
			t.expected(what, a)
			if good(a) {
				return a, true
			}
		}
		verify.Wait(ctx, time.Duration(10+mine.IntN(40))*time.Millisecond)
	}
	return a, false
}

// expected fails the scenario when a client is shown a fault of ours.
func (t *traffic) expected(what string, a verify.Answer) {
	t.w.Check(a.Status != http.StatusInternalServerError, "%s was answered %s", what, a)
}

// briefly is as long as people wait.
func briefly(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func status(codes ...int) func(verify.Answer) bool {
	return func(a verify.Answer) bool { return slices.Contains(codes, a.Status) }
}

// stubborn repeats what the scenario itself does in a database that may be away.
func stubborn[T any](ctx context.Context, w *verify.World, do func() (T, error)) (out T, err error) {
	deadline := time.Now().Add(w.Patience)
	for {
		if out, err = do(); err == nil || time.Now().After(deadline) || !verify.Wait(ctx, 20*time.Millisecond) {
			return out, err
		}
	}
}

// buy is one visit.
func (t *traffic) buy(ctx context.Context, mine *rand.Rand) error {
	w := t.w
	t.mu.Lock()
	n := t.visits
	t.visits++
	t.mu.Unlock()
	b, err := stubborn(ctx, w, func() (verify.Buyer, error) { return w.Guest(ctx) })
	if err != nil {
		return err
	}
	cart := w.Cart(1 + n%4).By(verify.Providers[n%len(verify.Providers)])
	a, ok := t.ask(briefly(ctx), mine, "a checkout", status(http.StatusCreated), func(i *verify.Instance) verify.Answer {
		return w.Checkout(ctx, i, b, "visit", cart)
	})
	if !ok {
		// A request whose process or database died keeps its key for half a minute.
		// Some wait; this one leaves, and the order is closed in time.
		w.Count(left, 1)
		return nil
	}
	if paid, err := t.pay(ctx, a); err != nil || !paid {
		return err
	}
	t.mu.Lock()
	t.paid[a.Order()] = b
	t.mu.Unlock()
	// Not longer than people wait for a page to change: it comes all the same.
	path := "/api/v1/orders/" + a.Order().String()
	_, seen := t.ask(briefly(ctx), mine, "a look at an order", func(a verify.Answer) bool {
		var o struct{ State string }
		return a.Status == http.StatusOK && json.Unmarshal(a.Body, &o) == nil && o.State == "paid"
	}, func(i *verify.Instance) verify.Answer {
		if n%3 == 0 {
			return w.Call(ctx, i, http.MethodPost, path+"/refresh", b.Token, "", nil)
		}
		return w.Call(ctx, i, http.MethodGet, path, b.Token, "", nil)
	})
	if !seen {
		return nil
	}
	w.Count(salesMade, 1)
	if n%4 == 3 {
		if b, err = t.claim(ctx, mine, b); err != nil {
			return err
		}
	}
	t.download(ctx, mine, b, cart.Photos[0])
	if n%5 == 4 {
		t.refund(ctx, mine, a.Order())
	}
	return nil
}

// pay pays the page that an answer names. false: it was closed meanwhile.
func (t *traffic) pay(ctx context.Context, a verify.Answer) (bool, error) {
	pages, err := stubborn(ctx, t.w, func() ([]twin.PageView, error) {
		pages, err := t.w.Pages(ctx, a.Order())
		if err == nil && len(pages) == 0 {
			err = fmt.Errorf("order %s has no page", a.Order())
		}
		return pages, err
	})
	if err != nil {
		return false, err
	}
	var told struct{ URL string }
	if err := a.Into(&told); err != nil {
		return false, err
	}
	page := pages[len(pages)-1]
	for _, p := range pages {
		if p.URL == told.URL {
			page = p // a provider without memory may have made others
		}
	}
	_, err = t.w.Twin.Pay(ctx, page.Ref, twin.PayRequest{})
	var refused *twin.ControlError
	if errors.As(err, &refused) {
		return false, nil
	}
	return err == nil, err
}

// claim moves what a guest bought to an account.
func (t *traffic) claim(ctx context.Context, mine *rand.Rand, b verify.Buyer) (verify.Buyer, error) {
	account, err := stubborn(ctx, t.w, func() (verify.Buyer, error) { return t.w.Attendee(ctx, id.Short(12)+"@example.com") })
	if err != nil {
		return b, err
	}
	_, ok := t.ask(ctx, mine, "a claim", status(http.StatusOK), func(i *verify.Instance) verify.Answer { return t.w.Claim(ctx, i, b, account) })
	if !ok {
		return b, errors.New("a claim had no answer that stands")
	}
	t.w.Count(claimsMade, 1)
	return account, nil
}

func (t *traffic) download(ctx context.Context, mine *rand.Rand, b verify.Buyer, photo uuid.UUID) {
	var came bool
	_, ok := t.ask(ctx, mine, "a download", func(verify.Answer) bool { return came }, func(i *verify.Instance) (a verify.Answer) {
		a, came = t.w.Download(ctx, i, b, photo, true, nil)
		return a
	})
	if t.w.Check(ok || ctx.Err() != nil, "a buyer did not get what is paid for") {
		t.w.Count(downloadsMade, 1)
	}
}

func (t *traffic) refund(ctx context.Context, mine *rand.Rand, orderID uuid.UUID) {
	// Whoever has no answer asks again, and is told that it was asked for already.
	_, ok := t.ask(ctx, mine, "a refund", status(http.StatusAccepted, http.StatusConflict), func(i *verify.Instance) verify.Answer {
		return t.w.Refund(ctx, i, orderID)
	})
	if !ok {
		return
	}
	t.w.Count(refundsMade, 1)
	t.mu.Lock()
	t.refunded[orderID] = true
	t.mu.Unlock()
}

// upload sends a picture until it is taken.
func (t *traffic) upload(ctx context.Context, picture []byte) {
	mine := rand.New(rand.NewPCG(uint64(len(picture)), 1))
	a, ok := t.ask(ctx, mine, "an upload", status(http.StatusOK), func(i *verify.Instance) verify.Answer { return t.w.Upload(ctx, i, picture) })
	if !t.w.Check(ok || ctx.Err() != nil, "an upload was not taken (last: %s)", a) || !ok {
		return
	}
	t.mu.Lock()
	t.uploaded = append(t.uploaded, a.Uploaded()...)
	t.mu.Unlock()
	t.w.Count(uploadsMade, 1)
}

// underWay is what has no answer, or no end, at this moment.
func (t *traffic) underWay(ctx context.Context) int {
	n := int(t.begun.Load())
	if s, err := t.w.Twin.State(ctx); err == nil {
		n += s.Pending
	}
	return n
}

// settled waits until everything is at rest and holds everybody's word to it:
// what was paid is paid or was given back, what was to go back has gone, and what
// was uploaded is ready, once, with all that is made of it.
func (t *traffic) settled(ctx context.Context) error {
	w := t.w
	if err := atRest(ctx, w); err != nil {
		return err
	}
	// Whose sender died is taken up by another when the lease is over.
	err := w.Until(ctx, "no message is in mid-air", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM messages WHERE state = 'sending'`)
		return n == 0, err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for orderID := range t.paid {
		state, err := w.State(ctx, orderID)
		if err != nil {
			return err
		}
		want := "paid"
		if t.refunded[orderID] {
			want = "refunded"
		}
		if w.Check(state == want, "order %s was paid and is %s, not %s", orderID, state, want) {
			w.Count(newsStood, 1)
		}
	}
	if len(t.uploaded) == 0 {
		return nil
	}
	return developed(ctx, w, t.uploaded)
}

// developed checks that photographs are ready, with all their files, each of them
// there and none of them twice, and that nobody says that they cannot be read.
func developed(ctx context.Context, w *verify.World, photos []uuid.UUID) error {
	err := w.Until(ctx, "all photographs are developed", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM photos WHERE id = ANY($1) AND state = 'processing'`, photos)
		return n == 0, err
	})
	if err != nil {
		return err
	}
	blamed, err := w.Int(ctx, `SELECT count(*) FROM photos WHERE id = ANY($1) AND state = 'unreadable'`, photos)
	if err != nil {
		return err
	}
	if blamed > 0 {
		w.Found(verify.CheckFiles, "%d photographs are said to be unreadable, and are not", blamed)
	}
	whole, err := w.Int(ctx, `SELECT count(*) FROM photos p WHERE id = ANY($1) AND state = 'ready' AND width > 0
		AND (SELECT count(DISTINCT kind) FROM blobs b WHERE b.photo_id = p.id) = $2`, photos, 1+derivatives)
	if err != nil {
		return err
	}
	want := len(id.Sorted(photos))
	if whole+blamed != want {
		w.Found(verify.CheckFiles, "%d of %d photographs are ready with all their files", whole, want)
	}
	w.Count(photosReady, whole)
	return w.FilesStand(ctx)
}

// overnight is what heals by itself in time: jobs of processes that died are found
// after some minutes, and orders that nobody asked about are. fresh starts the
// processes of the next morning.
func (t *traffic) overnight(ctx context.Context, fresh func() ([]*verify.Instance, error)) error {
	w := t.w
	for _, i := range w.Instances {
		i.Kill()
	}
	if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx)); err != nil {
		return err
	}
	morning, err := fresh()
	if err != nil {
		return err
	}
	t.turnTo(morning...)
	if err := w.Twin.RetryNow(ctx); err != nil {
		return err
	}
	return inTime(ctx, w, time.Minute, 3*time.Minute, 6*time.Minute, 16*time.Minute)
}

// inTime lets time pass, and whoever is due look at orders.
func inTime(ctx context.Context, w *verify.World, steps ...time.Duration) error {
	for _, d := range steps {
		if err := errors.Join(w.Advance(ctx, d), w.DueJobs(ctx)); err != nil {
			return err
		}
		err := w.Until(ctx, "the poller has looked at everything that is due", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM open_orders WHERE next_check_at <= app_now()`)
			return n == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
