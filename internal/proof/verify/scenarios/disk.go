package scenarios

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const (
	uploadsRefused  = "uploads_refused"
	webhooksRefused = "webhooks_refused"
	databaseFull    = "database_refusals" // by the database, for want of space
	databaseDied    = "database_deaths"   // of it, when its log found no space
)

// One small disk holds the database and the files, and it is full for a while.
// Uploads are refused with the reason, no row names a file that is not there, no
// event is acknowledged that cannot be stored, and when there is space again
// everything goes on by itself.
var x09 = verify.Scenario{
	ID: "X09", Title: "the disk of the files and of the database is full for a while", Severity: verify.High,
	Rows: []string{"T1", "X2"}, Build: verify.Release, Database: verify.Cramped,
	Needs: []string{verify.FaultsFired, verify.Indeterminate, uploadsRefused, webhooksRefused, databaseFull, databaseDied, salesMade, newsStood, uploadsMade, photosReady},
	Quick: 1, Full: 3,
	Run: func(ctx context.Context, w *verify.World) error {
		if !w.Darkroom() {
			w.Missing("the darkroom does not lie beside the program: make build")
			return nil
		}
		if err := w.Originals(ctx, 64<<10); err != nil {
			return err
		}
		w.Patience *= 2
		lives := 0
		fresh := func() ([]*verify.Instance, error) {
			var out []*verify.Instance
			for range 2 {
				lives++
				i, err := w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("life-%d", lives), Darkroom: true})
				if err != nil {
					return nil, err
				}
				out = append(out, i)
			}
			return out, nil
		}
		begin, err := fresh()
		if err != nil {
			return err
		}
		replaceAll(w, begin...)
		t := newTraffic(w)
		t.open(ctx, 3, true)
		for range w.Rounds {
			if err = fullFor(ctx, t); err != nil {
				break
			}
			w.Count(verify.Rounds, 1)
		}
		err = errors.Join(err, w.Disk().Free()) // whoever still waits is let go
		if busy := t.done(); err == nil {
			err = busy
		}
		if err != nil {
			return err
		}
		if err := t.overnight(ctx, fresh); err != nil {
			return err
		}
		return t.settled(ctx)
	},
}

// fullFor fills the disk and frees it again once everybody has met it.
func fullFor(ctx context.Context, t *traffic) error {
	w := t.w
	if err := sales(ctx, t, 5); err != nil {
		return err
	}
	// Payers whose money is taken while nothing can be written down.
	var payers []uuid.UUID
	for _, p := range verify.Providers {
		_, orderID, err := w.NewOrderBy(ctx, p, 1)
		if err != nil {
			return err
		}
		payers = append(payers, orderID)
	}
	refs := map[uuid.UUID]string{}
	for _, orderID := range payers {
		page, err := w.Page(ctx, orderID)
		if err != nil {
			return err
		}
		refs[orderID] = page.Ref
	}
	before, err := w.PostgresSaid("No space left on device")
	if err == nil {
		err = w.Disk().Fill()
	}
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	refused, err := uploadRefused(ctx, w)
	if err != nil {
		return err
	}
	w.Count(uploadsRefused, refused)
	stop, rows := context.WithCancel(ctx)
	defer rows()
	// What grows makes the database ask for space, which else lasts for a while.
	var growing sync.WaitGroup
	var full, gone atomic.Int64
	growing.Go(func() {
		for stop.Err() == nil {
			_, err := w.DB.Exec(stop, `CREATE TABLE IF NOT EXISTS scratch_ballast (bytes text); ALTER TABLE scratch_ballast ALTER bytes SET STORAGE EXTERNAL;
				INSERT INTO scratch_ballast SELECT repeat(md5(n::text), 30000) FROM generate_series(1, 4) n`)
			if err != nil {
				full.Add(1)
				// And its log: PostgreSQL dies of that, and recovers.
				// (Nothing of it is in its own log, which has no space either.)
				_, err = w.DB.Exec(stop, `SELECT pg_logical_emit_message(false, 'scratch', repeat(md5(n::text), 60000)) FROM generate_series(1, 4) n`)
			}
			var told *pgconn.PgError
			if err != nil && stop.Err() == nil && (!errors.As(err, &told) || strings.HasPrefix(told.Code, "57P")) {
				gone.Add(1)
			}
			if err != nil {
				verify.Wait(stop, 50*time.Millisecond)
			}
		}
	})
	for _, ref := range refs {
		if _, err := w.Twin.Pay(ctx, ref, twin.PayRequest{}); err != nil {
			return err
		}
	}
	err = w.Until(ctx, "webhooks are refused for want of space, and PostgreSQL dies of it", func() (bool, error) {
		n, err := refusedWebhooks(ctx, w)
		return n > 0 && full.Load() > 0 && gone.Load() > 0, err
	})
	if err == nil {
		verify.Wait(ctx, 500*time.Millisecond) // and a bit of it for everybody
	}
	rows()
	growing.Wait()
	n, e := refusedWebhooks(ctx, w)
	w.Count(webhooksRefused, n)
	said, e2 := w.PostgresSaid("No space left on device")
	w.Count(databaseFull, said-before)
	if err := errors.Join(err, e, e2, w.Disk().Free()); err != nil {
		return err
	}
	freed := time.Now()
	if err := w.RevivePostgres(ctx); err != nil {
		return err
	}
	_, err = stubborn(ctx, w, func() (any, error) { return w.DB.Exec(ctx, `DROP TABLE IF EXISTS scratch_ballast`) })
	if err != nil {
		return fmt.Errorf("the database does not come back: %w", err)
	}
	if err := w.Twin.RetryNow(ctx); err != nil {
		return err
	}
	waited := time.Since(freed)
	sale, empty, err := recovered(ctx, t)
	if err != nil {
		return err
	}
	w.Count(databaseDied, int(min(gone.Load(), 1)))
	w.Note("the disk was freed (PostgreSQL had died of it): the first sale %d ms, and nothing left in the inbox from before %d ms after that",
		(waited + sale).Milliseconds(), (waited + empty).Milliseconds())
	return nil
}

// refusedWebhooks counts what the providers were answered 5xx.
func refusedWebhooks(ctx context.Context, w *verify.World) (int, error) {
	sent, err := w.Twin.Deliveries(ctx, twin.DeliveryFilter{})
	n := 0
	for _, d := range sent {
		for _, a := range d.Attempts {
			if a.Status >= http.StatusInternalServerError {
				n++
			}
		}
	}
	return n, err
}

// uploadRefused sends a picture that does not fit any more.
func uploadRefused(ctx context.Context, w *verify.World) (int, error) {
	mine := rand.New(rand.NewPCG(w.Rand.Uint64(), 1))
	picture := verify.Picture(mine.Uint64(), 1500)
	var a verify.Answer
	err := w.Until(ctx, "an upload is refused", func() (bool, error) {
		a = w.Upload(ctx, anyOf(w), picture)
		return a.Status != http.StatusOK && a.Status != 0, nil
	})
	if err != nil {
		return 0, err
	}
	w.Check(a.Status == http.StatusServiceUnavailable && a.Code() == "photo.no_room", "an upload to a full disk was answered %s", a)
	return 1, nil
}
