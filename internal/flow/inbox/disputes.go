package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"proofroom/internal/core/payment"
)

// disputesFor is how far back providers that tell nobody are asked: a dispute
// may begin months after the payment and take months more.
const disputesFor = 180 * 24 * time.Hour

// Disputes asks the providers that tell nobody of their disputes how these stand,
// and applies what is news. It may run on any number of instances, now and then.
// A provider that does not answer keeps none of the others from being asked.
func (a *Asker) Disputes(ctx context.Context) error {
	var errs []error
	for _, p := range a.providers {
		if lister, ok := p.(payment.DisputeLister); ok {
			errs = append(errs, a.disputesOf(ctx, p, lister))
		}
	}
	return errors.Join(errs...)
}

func (a *Asker) disputesOf(ctx context.Context, p payment.Provider, lister payment.DisputeLister) error {
	// Drawn before asking: of two answers about one dispute the later one counts.
	seq, now, err := a.inbox.DrawSeq(ctx, a.pool)
	if err != nil {
		return err
	}
	cctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := lister.Disputes(cctx, now.Add(-disputesFor))
	if err != nil {
		return fmt.Errorf("ask %s about disputes: %w", p.Name(), err)
	}
	byDispute := map[string][]payment.Observation{}
	var disputes []string
	for _, o := range found {
		if _, seen := byDispute[o.DisputeID]; !seen {
			disputes = append(disputes, o.DisputeID)
		}
		byDispute[o.DisputeID] = append(byDispute[o.DisputeID], o)
	}
	slices.Sort(disputes)
	last, err := a.inbox.LastFacts(ctx, a.pool, p.Name(), p.Account(), disputes)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range disputes {
		facts, err := json.Marshal(byDispute[d])
		if err != nil {
			return fmt.Errorf("encode observations: %w", err)
		}
		if bytes.Equal(facts, last[d]) {
			continue // asked every hour, it stands as it did
		}
		row := payment.Reply(p, "disputes", d, byDispute[d])
		row.Seq = seq
		errs = append(errs, a.Say(ctx, row))
	}
	return errors.Join(errs...)
}
