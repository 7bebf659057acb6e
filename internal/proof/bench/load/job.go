package load

import (
	"math/rand/v2"
)

// Job is what a generator is told to send.
type Job struct {
	Addr string `json:"addr"` // of the server, host:port
	Set  Set    `json:"set"`
	// Events is how many webhooks are sent, repetitions included: a tenth of them
	// say again what an earlier one said.
	Events int `json:"events"`
	// Clients is how many connections there are, each with one request at a time.
	Clients int `json:"clients"`
	// Rate is how many are due in a second, at times drawn at random (Poisson); 0:
	// each client sends its next as soon as it has its answer.
	Rate float64 `json:"rate"`
	Seed uint64  `json:"seed"`
	// SealDir has the key of PayPal's webhooks, Base is where PayPal's API is.
	SealDir string `json:"seal_dir"`
	Base    string `json:"base"`
}

// repeatEvery: of so many webhooks one is a repetition, of one of the near ones
// before it: providers repeat what was just not answered in time.
const (
	repeatEvery = 10
	repeatNear  = 1000
)

// Orders is how many orders so many events pay for.
func Orders(events int) int { return events - events/repeatEvery }

// schedule is the order number of each webhook.
func (j Job) schedule() []int {
	draw := rand.New(rand.NewPCG(j.Seed, uint64(j.Set.Batch))) //nolint:gosec // chance that can be repeated
	out := make([]int, j.Events)
	next := j.Set.First
	for i := range out {
		if i%repeatEvery == repeatEvery-1 {
			out[i] = out[max(0, i-1-draw.IntN(repeatNear))]
			continue
		}
		out[i] = next
		next++
	}
	return out
}

// Result is what a generator did.
type Result struct {
	FirstByte int64 `json:"first_byte"` // when the first request was sent, in Unix nanoseconds
	LastReply int64 `json:"last_reply"`
	// Acknowledged has a bit for each order of the set, from Set.First: one of its
	// events was answered with 2xx.
	Acknowledged []byte      `json:"acknowledged"`
	Replies      map[int]int `json:"replies"`    // by status
	Retries      int         `json:"retries"`    // of what was answered with "come back"
	CPUMicros    int64       `json:"cpu_us"`     // while it sent
	BodyBytes    int         `json:"body_bytes"` // of the mean body
	P50Millis    float64     `json:"p50_ms"`
	P99Millis    float64     `json:"p99_ms"`
	MaxMillis    float64     `json:"max_ms"`
}

// Acked are the numbers of the orders whose event was acknowledged.
func (r Result) Acked(s Set) []int {
	var out []int
	for i := range s.Count {
		if r.Acknowledged[i/8]&(1<<(i%8)) != 0 {
			out = append(out, s.First+i)
		}
	}
	return out
}
