package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// Three instances are asked at once by somebody who guesses: together they allow
// no more than one would, and without their database nothing.
var x01 = verify.Scenario{
	ID: "X01", Title: "limits over three instances", Severity: verify.High,
	Rows: []string{"X4"}, Build: verify.Release, Needs: []string{verify.Requests, verify.Overlapping, verify.FaultsFired},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		line, err := w.DatabaseLine(ctx)
		if err != nil {
			return err
		}
		cut, err := w.Launch(ctx, verify.Launch{Name: "third", Database: line})
		if err != nil {
			return err
		}
		w.Instances = append(w.Instances, cut)
		doors, err := doors(ctx, w)
		if err != nil {
			return err
		}
		if w.Focus == "" {
			// So that there is something real as well.
			if _, err := sold(ctx, w, twin.PayRequest{}); err != nil {
				return err
			}
		}
		for range w.Rounds {
			for _, d := range doors {
				if w.Focus != "" && w.Focus != d.name {
					continue
				}
				if err := besieged(ctx, w, d, 2); err != nil {
					return fmt.Errorf("%s: %w", d.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		if w.Focus != "" {
			return nil
		}
		return closed(ctx, w, line, cut, doors)
	},
}

// door is something that can be guessed.
type door struct {
	name   string // of the limit
	burst  int
	every  time.Duration
	wrong  int // what a wrong guess is answered
	guess  func(ctx context.Context, i *verify.Instance, token string) verify.Answer
	within time.Duration // the limit is whole again
}

// Limits as they are published in the answers.
func doors(ctx context.Context, w *verify.World) ([]door, error) {
	token, err := w.Creator(ctx, "gatekeeper@example.com")
	if err != nil {
		return nil, err
	}
	a := w.Call(ctx, w.Instances[0], http.MethodPost, "/api/v1/events", token, "", map[string]any{
		"title": "Behind a code", "visibility": "code", "access_code": "harbour light", "timezone": "Europe/Lisbon",
		"starts_local": "2026-06-12T18:30", "ends_local": "2026-06-12T23:00", "currency": "EUR", "prices": map[string]any{"photo": 500},
	})
	var event struct{ ID, Slug string }
	if err := a.Into(&event); err != nil {
		return nil, err
	}
	if err := w.Call(ctx, w.Instances[0], http.MethodPost, "/api/v1/events/"+event.ID+"/publish", token, "", nil).Into(&event); err != nil {
		return nil, err
	}
	return []door{
		{
			name: "access-code-from", burst: 30, every: 10 * time.Second, within: 300 * time.Second, wrong: http.StatusForbidden,
			guess: func(ctx context.Context, i *verify.Instance, token string) verify.Answer {
				return w.Call(ctx, i, http.MethodGet, "/api/v1/events/"+event.ID+"?code=guess", token, "", nil)
			},
		},
		{
			name: "sign-in", burst: 10, every: 30 * time.Second, within: 300 * time.Second, wrong: http.StatusUnauthorized,
			guess: func(ctx context.Context, i *verify.Instance, token string) verify.Answer {
				return w.Call(ctx, i, http.MethodPost, "/api/v1/sessions", token, "", map[string]any{
					"email": "creator@example.com", "password": "a guess of a password",
				})
			},
		},
	}, nil
}

// besieged lets one address guess from all sides, and again when the window has
// passed.
func besieged(ctx context.Context, w *verify.World, d door, sieges int) error {
	who, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	other, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	for siege := range sieges {
		if siege > 0 {
			if w.Focus != "" {
				return nil
			}
			if err := w.Advance(ctx, d.within); err != nil {
				return err
			}
		}
		const guesses = 48
		var allowed atomic.Int64
		begun := time.Now()
		answers := make([]verify.Answer, guesses)
		verify.All(guesses, func(n int) {
			answers[n] = d.guess(ctx, w.Instances[n%len(w.Instances)], who.Token)
			w.Span(d.name+who.ID.String(), answers[n].From, answers[n].To)
			if answers[n].Status == d.wrong {
				allowed.Add(1)
			}
		})
		// While they guess, one more is allowed for each interval that passes.
		most := d.burst + int(time.Since(begun)/d.every) + 1
		got := int(allowed.Load())
		if got > most {
			w.Found(verify.CheckLimits, "%s: %d of %d guesses were heard over %d instances, and %d may be", d.name, got, guesses, len(w.Instances), most)
			return nil
		}
		w.Check(got >= d.burst, "%s: %d of the first %d guesses were heard", d.name, got, d.burst)
		for _, a := range answers {
			if a.Status == d.wrong {
				continue
			}
			after, _ := strconv.Atoi(a.Header.Get("Retry-After"))
			w.Check(a.Status == http.StatusTooManyRequests && after > 0 && time.Duration(after)*time.Second <= d.every+time.Second,
				"%s: one guess too many was answered %s, Retry-After %d", d.name, a, after)
			want := fmt.Sprintf("%q;q=%d;w=%d", d.name, d.burst, int(d.within.Seconds()))
			w.Check(a.Header.Get("RateLimit-Policy") == want, "%s: RateLimit-Policy says %s, not %s", d.name, a.Header.Get("RateLimit-Policy"), want)
			w.Check(a.Header.Get("RateLimit") != "", "%s: a refusal has no RateLimit", d.name)
		}
	}
	a := d.guess(ctx, w.Instances[0], other.Token)
	w.Check(a.Status == d.wrong, "%s: somebody at another address was answered %s", d.name, a)
	return nil
}

// closed cuts an instance off from its database: nobody may guess there at all.
// A crash of the database empties the limits' table, which is declared: every
// limit starts afresh, and none is lifted.
func closed(ctx context.Context, w *verify.World, line *verify.Line, cut *verify.Instance, doors []door) error {
	who, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	line.Cut()
	w.Count(verify.FaultsFired, 1)
	for _, d := range doors {
		a := d.guess(ctx, cut, who.Token)
		w.Check(a.Status == http.StatusServiceUnavailable, "%s: without a database a guess was answered %s", d.name, a)
	}
	line.Restore()
	// Connections that broke unseen are found when somebody wants to use them.
	err = w.Until(ctx, "the instance has its database back", func() (bool, error) {
		const atOnce = 16
		var good atomic.Int64
		verify.All(atOnce, func(int) {
			if w.Call(ctx, cut, http.MethodGet, "/api/v1/events", who.Token, "", nil).Status == http.StatusOK {
				good.Add(1)
			}
		})
		return good.Load() == atOnce, nil
	})
	if err != nil {
		return err
	}
	kept, err := w.Int(ctx, `SELECT count(*) FROM pg_class WHERE oid = 'rate_limits'::regclass AND relpersistence <> 'u'`)
	if err != nil {
		return err
	}
	w.Check(kept == 0, "the limits' table is written as if it had to be kept")
	if _, err := w.DB.Exec(ctx, `TRUNCATE rate_limits`); err != nil { // what a crash does to it
		return err
	}
	w.Count(verify.FaultsFired, 1)
	for _, d := range doors {
		if err := besieged(ctx, w, d, 1); err != nil {
			return fmt.Errorf("after a crash, %s: %w", d.name, err)
		}
	}
	return nil
}
