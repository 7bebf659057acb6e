package scenarios

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/proof/verify"
)

const pointsDied = "points_died_at"

// The only process there is dies at a fault point, on a busy day, and another one
// is started in its place: at every point that the program has, whoever defines
// it. What anybody was told is true in the end, and everything comes to its end.
var x07 = verify.Scenario{
	ID: "X07", Title: "the server killed at every fault point, and started again", Severity: verify.Critical,
	Rows: []string{"F1", "F2", "T1", "T2", "X2"}, Build: verify.Proof,
	Needs: []string{verify.FaultsFired, verify.InFlight, verify.Indeterminate, salesMade, newsStood, uploadsMade, photosReady},
	Quick: 3, Full: 1000, // points, another choice for each seed; there are fewer
	Run: func(ctx context.Context, w *verify.World) error {
		if !w.Darkroom() {
			w.Missing("the darkroom does not lie beside the program: make build")
			return nil
		}
		if err := w.Originals(ctx, 64<<10); err != nil {
			return err
		}
		w.Patience *= 2
		points := faultpoint.All()
		w.Rand.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:min(w.Rounds, len(points))]
		slices.SortFunc(points, func(a, b *faultpoint.Point) int { return strings.Compare(a.Name, b.Name) })
		k := &killer{w: w, t: newTraffic(w)}
		if _, err := k.start(ctx); err != nil {
			return err
		}
		k.t.open(ctx, 5, true)
		err := k.all(ctx, points)
		if busy := k.t.done(); err == nil {
			err = busy
		}
		if err != nil {
			return err
		}
		err = k.t.overnight(ctx, func() ([]*verify.Instance, error) {
			i, err := k.start(ctx)
			return []*verify.Instance{i}, err
		})
		if err != nil {
			return err
		}
		return k.t.settled(ctx)
	},
}

// killer keeps one process of the server at a time.
type killer struct {
	w     *verify.World
	t     *traffic
	lives int
}

// start starts a process, turns everybody to it, and ends the one before.
func (k *killer) start(ctx context.Context, faults ...string) (*verify.Instance, error) {
	k.lives++
	before := slices.Clone(k.w.Instances)
	i, err := k.w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("life-%d", k.lives), Faults: faults, Darkroom: true})
	if i == nil {
		return nil, err
	}
	if err == nil {
		k.t.turnTo(i)
	}
	for _, b := range before {
		if b != i {
			b.Kill()
		}
	}
	return i, err
}

func (k *killer) all(ctx context.Context, points []*faultpoint.Point) error {
	var sales, ends []time.Duration
	for _, p := range points {
		if strings.HasPrefix(p.Name, "backup.") { // another command's, which runs beside the server
			if err := k.backup(ctx, p.Name); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			continue
		}
		sale, end, err := k.at(ctx, p.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if sale == 0 {
			k.w.Missing("nothing came by the fault point %s within %s: %s", p.Name, k.w.Patience, p.Doc)
			continue
		}
		sales, ends = append(sales, sale), append(ends, end)
		k.w.Note("%s: the first sale %d ms, and nothing left in the inbox from before %d ms after the process was started again",
			p.Name, sale.Milliseconds(), end.Milliseconds())
		k.w.Count(pointsDied, 1)
	}
	if len(sales) == 0 {
		return nil
	}
	slices.Sort(sales)
	slices.Sort(ends)
	for what, d := range map[string]time.Duration{
		"median_ms_until_a_sale": sales[len(sales)/2], "longest_ms_until_a_sale": sales[len(sales)-1],
		"median_ms_until_the_inbox_is_empty": ends[len(ends)/2], "longest_ms_until_the_inbox_is_empty": ends[len(ends)-1],
	} {
		k.w.Count(what, int(d.Milliseconds()))
	}
	return nil
}

// at has the process die at a point and measures the next one's recovery, from its
// start. Zero: nothing came by the point.
func (k *killer) at(ctx context.Context, point string) (sale, empty time.Duration, err error) {
	victim, err := k.start(ctx, verify.KillAt(point, 1))
	if victim == nil {
		return 0, 0, err
	}
	if !victim.Died(ctx, k.w.Patience) {
		if err == nil {
			_, err = k.start(ctx)
		}
		return 0, 0, err
	}
	k.w.Count(verify.FaultsFired, 1)
	k.w.Count(verify.InFlight, k.t.underWay(ctx))
	begun := time.Now()
	if _, err := k.start(ctx); err != nil {
		return 0, 0, err
	}
	started := time.Since(begun)
	if err := k.w.Twin.RetryNow(ctx); err != nil {
		return 0, 0, err
	}
	sale, empty, err = recovered(ctx, k.t)
	return sale + started, empty + started, err
}

// backup has a backup die at a point while the shop is open. What it leaves is no
// backup, and the next one is whole.
func (k *killer) backup(ctx context.Context, point string) error {
	place := k.w.Folder("backups-" + point)
	take := []string{"backup", "take", "--to", place}
	_, killed, err := k.w.Command(ctx, []string{verify.KillAt(point, 1)}, take...)
	if err != nil {
		return err
	}
	if !killed {
		k.w.Missing("no backup came by the fault point %s", point)
		return nil
	}
	k.w.Count(verify.FaultsFired, 1)
	k.w.Count(pointsDied, 1)
	whole := func() int {
		found, _ := filepath.Glob(filepath.Join(place, "2*", "MANIFEST.json")) // the pattern is well formed
		return len(found)
	}
	k.w.Check(whole() == 0, "a backup that died passes for one")
	begun := time.Now()
	if _, _, err := k.w.Command(ctx, nil, take...); err != nil {
		return err
	}
	k.w.Check(whole() == 1, "%d backups are there after one was taken", whole())
	k.w.Note("%s: the next backup was whole after %d ms", point, time.Since(begun).Milliseconds())
	return nil
}
