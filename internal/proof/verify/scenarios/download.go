package scenarios

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const (
	originalSize = 24 << 20 // more than what lies in sockets between two processes
	recheck      = 5 * time.Second
)

// Buyers download while an operator gives their money back: what is begun after
// the operator's answer gets nothing, what was begun before ends within seconds.
var w10 = verify.Scenario{
	ID: "W10", Title: "refund and dispute against download, of one line and of bundles", Severity: verify.Critical,
	Rows: []string{"F2", "S2", "D2"}, Build: verify.Proof, Needs: []string{verify.Requests, verify.Overlapping, verify.FaultsFired},
	Quick: 2, Full: 15,
	Run: func(ctx context.Context, w *verify.World) error {
		if err := w.Originals(ctx, originalSize); err != nil {
			return err
		}
		if w.Focus == "access" {
			return refundDownload(ctx, w)
		}
		var slow sync.WaitGroup
		errs := make([]error, 1+len(verify.Providers))
		slow.Go(func() { errs[0] = slowReader(ctx, w) })
		for n, p := range verify.Providers {
			slow.Go(func() {
				errs[1+n] = contested(ctx, w, p, []string{twin.DisputeWon, twin.DisputeLost}[(n+w.Rand.IntN(2))%2])
			})
		}
		for range w.Rounds {
			if err := errors.Join(refundDownload(ctx, w), partByPart(ctx, w)); err != nil {
				slow.Wait()
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		slow.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return bulkAndSingle(ctx, w)
	},
}

// mine makes a paid order of one photograph.
func mine(ctx context.Context, w *verify.World) (b verify.Buyer, orderID, photo uuid.UUID, err error) {
	if b, orderID, err = w.NewOrder(ctx, 1); err != nil {
		return b, orderID, photo, err
	}
	err = w.DB.QueryRow(ctx, `SELECT photo_id FROM order_lines WHERE order_id = $1`, orderID).Scan(&photo)
	return b, orderID, photo, err
}

func paidFor(ctx context.Context, w *verify.World, orderID uuid.UUID) error {
	if _, err := w.Pay(ctx, orderID, twin.PayRequest{}); err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "paid")
}

func refundDownload(ctx context.Context, w *verify.World) error {
	b, orderID, photo, err := mine(ctx, w)
	if err != nil {
		return err
	}
	stranger, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	refused := func(i *verify.Instance, who verify.Buyer, why string) {
		a, _ := w.Download(ctx, i, who, photo, false, nil)
		w.Check(a.Status == http.StatusForbidden, "%s was answered %s", why, a)
	}
	refused(w.Instances[0], b, "a download before paying")
	if err := paidFor(ctx, w, orderID); err != nil {
		return err
	}
	a, whole := w.Download(ctx, w.Instances[0], b, photo, true, nil)
	w.Check(whole, "a download of one's own was answered %s", a)
	refused(w.Instances[1], stranger, "a stranger's download")

	var refunded atomic.Bool
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				may := !refunded.Load()
				a, _ := w.Download(ctx, w.Instances[n%len(w.Instances)], b, photo, may, nil)
				w.Check(may || a.Status == http.StatusForbidden, "a download after the refund was answered %s", a)
			}
		})
	}
	answer := w.Refund(ctx, w.Instances[0], orderID)
	refunded.Store(true)
	w.Check(answer.Status == http.StatusAccepted, "a refund was answered %s", answer)
	for _, i := range w.Instances {
		refused(i, b, "a download after the refund")
	}
	close(stop)
	readers.Wait()
	return w.Reaches(ctx, orderID, "refunded")
}

// slowReader has begun to download when its money goes back, and takes its time.
func slowReader(ctx context.Context, w *verify.World) error {
	b, orderID, photo, err := mine(ctx, w)
	if err != nil {
		return err
	}
	if err := paidFor(ctx, w, orderID); err != nil {
		return err
	}
	a, whole := w.Download(ctx, w.Instances[0], b, photo, true, func() {
		answer := w.Refund(ctx, w.Instances[1], orderID)
		w.Check(answer.Status == http.StatusAccepted, "a refund was answered %s", answer)
		verify.Wait(ctx, recheck+time.Second)
	})
	w.Check(a.Status == http.StatusOK, "a download of one's own was answered %s", a)
	w.Check(!whole, "a download went on to its end long after the refund")
	return w.Reaches(ctx, orderID, "refunded")
}
