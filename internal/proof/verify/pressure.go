package verify

import (
	"sync"
	"time"
)

// Names of what a scenario counts to show that it pressed at all.
const (
	Requests      = "requests"          // clients' requests
	Overlapping   = "overlapping_pairs" // pairs of operations on one thing whose times overlap
	FaultsFired   = "faults_fired"      // kills, holds, cuts and forgeries that happened
	InFlight      = "in_flight_at_kill" // operations without an answer when a process died
	Indeterminate = "indeterminate"     // answers that left the client not knowing
	Deliveries    = "deliveries"        // webhooks sent
	Rounds        = "rounds"
)

// pressure counts. Its zero value is ready.
type pressure struct {
	mu    sync.Mutex
	count map[string]int
	spans map[string][]span
}

type span struct{ from, to time.Time }

func (p *pressure) add(what string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.count[what] += n
}

// span notes when an operation on a thing was under way.
func (p *pressure) span(thing string, from, to time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spans == nil {
		p.spans = map[string][]span{}
	}
	p.spans[thing] = append(p.spans[thing], span{from, to})
}

// totals are the counts, with the overlapping pairs of all spans.
func (p *pressure) totals() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, n := range p.count {
		out[k] = n
	}
	for _, spans := range p.spans {
		for i, a := range spans {
			for _, b := range spans[i+1:] {
				if a.from.Before(b.to) && b.from.Before(a.to) {
					out[Overlapping]++
				}
			}
		}
	}
	return out
}
