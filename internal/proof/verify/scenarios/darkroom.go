package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const (
	roomsKilled   = "darkrooms_killed_at_work"
	serversKilled = "servers_killed_while_a_darkroom_worked"
	// large is a width that takes a darkroom a good part of a second.
	large = 4200
)

// The child that develops is killed with a photograph half done, and so is the
// server with its children. The photograph becomes ready, once, with all that is
// made of it, and nobody says that it cannot be read.
var x08 = verify.Scenario{
	ID: "X08", Title: "the darkroom and the server killed in the middle of a photograph", Severity: verify.Medium,
	Rows: []string{"X2"}, Build: verify.Release,
	Needs: []string{roomsKilled, serversKilled, uploadsMade, photosReady},
	Quick: 1, Full: 8,
	Run: func(ctx context.Context, w *verify.World) error {
		if !w.Darkroom() {
			w.Missing("the darkroom does not lie beside the program: make build")
			return nil
		}
		w.Patience *= 3                                            // a machine at its limit is slow to develop
		if _, err := sold(ctx, w, twin.PayRequest{}); err != nil { // so that there is something to judge
			return err
		}
		if err := atRest(ctx, w); err != nil {
			return err
		}
		var photos []uuid.UUID
		for round := range w.Rounds {
			for _, part := range []func(context.Context, *verify.World, string) ([]uuid.UUID, error){roomKilled, serverKilled} {
				more, err := part(ctx, w, fmt.Sprintf("%d-%d", round, len(photos)))
				if err != nil {
					return err
				}
				photos = append(photos, more...)
			}
			w.Count(verify.Rounds, 1)
		}
		return developed(ctx, w, photos)
	},
}

// room starts a process with a darkroom and makes it the only one.
func room(ctx context.Context, w *verify.World, name string) (*verify.Instance, error) {
	i, err := w.Launch(ctx, verify.Launch{Name: name, Darkroom: true, Env: []string{"PROOFROOM_DARKROOM_SIZE=1"}})
	if err == nil {
		replaceAll(w, i)
	}
	return i, err
}

// brought uploads pictures that nobody has seen.
func brought(ctx context.Context, w *verify.World, i *verify.Instance, n int) ([]uuid.UUID, error) {
	var pictures [][]byte
	for range n {
		pictures = append(pictures, verify.Picture(w.Rand.Uint64(), large))
	}
	a := w.Upload(ctx, i, pictures...)
	photos := a.Uploaded()
	if a.Status != http.StatusOK || len(photos) != n {
		return nil, fmt.Errorf("an upload was answered %s", a)
	}
	w.Count(uploadsMade, n)
	return photos, nil
}

// atWork waits until the darkroom is in the middle of a photograph.
func atWork(ctx context.Context, w *verify.World, i *verify.Instance) (pid int, err error) {
	var seen map[int]int
	err = w.Until(ctx, "a darkroom is at work", func() (bool, error) {
		pid, seen = i.Working(seen)
		return pid != 0, nil
	})
	return pid, err
}

// roomKilled kills the darkroom on the first of some photographs, which it then
// tries once more.
func roomKilled(ctx context.Context, w *verify.World, name string) ([]uuid.UUID, error) {
	i, err := room(ctx, w, "room-"+name)
	if err != nil {
		return nil, err
	}
	photos, err := brought(ctx, w, i, 2)
	if err != nil {
		return nil, err
	}
	child, err := atWork(ctx, w, i)
	if err != nil {
		return nil, err
	}
	if !i.KillDarkroom(child) {
		return nil, errors.New("the darkroom ended by itself")
	}
	w.Count(verify.FaultsFired, 1)
	done, err := w.Int(ctx, `SELECT count(*) FROM photos WHERE id = ANY($1) AND state <> 'processing'`, photos)
	if err != nil {
		return nil, err
	}
	w.Count(roomsKilled, min(len(photos)-done, 1))
	return photos, developed(ctx, w, photos)
}

// serverKilled kills the server while its darkroom works. The queue finds the job
// after some minutes.
func serverKilled(ctx context.Context, w *verify.World, name string) ([]uuid.UUID, error) {
	i, err := room(ctx, w, "server-"+name)
	if err != nil {
		return nil, err
	}
	photos, err := brought(ctx, w, i, 2)
	if err != nil {
		return nil, err
	}
	if _, err := atWork(ctx, w, i); err != nil {
		return nil, err
	}
	i.Kill()
	w.Count(verify.FaultsFired, 1)
	open, err := w.Int(ctx, `SELECT count(*) FROM photos WHERE id = ANY($1) AND state = 'processing'`, photos)
	if err != nil {
		return nil, err
	}
	w.Count(serversKilled, min(open, 1))
	if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx)); err != nil {
		return nil, err
	}
	if _, err := room(ctx, w, "after-"+name); err != nil {
		return nil, err
	}
	return photos, developed(ctx, w, photos)
}
