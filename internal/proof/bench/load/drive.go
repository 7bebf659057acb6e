package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"proofroom/internal/proof/bench"
)

const (
	// patience bounds one request, comeBack the pause before one is repeated that
	// the server was too busy for, tries how often that may be.
	patience = 30 * time.Second
	comeBack = 20 * time.Millisecond
	tries    = 500
	maxReply = 16 << 10
)

// Serve is the generator's process: it reads a [Job] from in, makes and signs
// everything, says {"ready":true} to out, waits for another line of in, sends,
// and ends with the [Result].
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to send: %w", err)
	}
	var j Job
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("read what to send: %w", err)
	}
	d, err := prepare(j, time.Now())
	if err != nil {
		return err
	}
	if err := d.dial(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(out, "{\"ready\":true}\n"); err != nil {
		return err
	}
	if _, err := lines.ReadBytes('\n'); err != nil {
		return fmt.Errorf("wait for the word to begin: %w", err)
	}
	r, err := d.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// driver is a job with its requests made.
type driver struct {
	Job
	schedule []int
	requests [][]byte // by order, from Set.First
	bytes    int      // of all bodies
	conns    []*conn

	next    atomic.Int64
	retries atomic.Int64
	first   atomic.Int64
}

func prepare(j Job, at time.Time) (*driver, error) {
	if j.Set.Count < Orders(j.Events) {
		return nil, fmt.Errorf("%d events pay for %d orders, and there are %d", j.Events, Orders(j.Events), j.Set.Count)
	}
	sign, err := newSigner(j.Set, j.SealDir, j.Base)
	if err != nil {
		return nil, err
	}
	d := &driver{Job: j, schedule: j.schedule(), requests: make([][]byte, j.Set.Count)}
	for _, n := range d.schedule {
		if d.requests[n-j.Set.First] != nil {
			continue
		}
		body := j.Set.Body(n, at, j.Base+"/paypal")
		header, err := sign.headers(j.Set, n, at, body)
		if err != nil {
			return nil, err
		}
		d.bytes += len(body)
		d.requests[n-j.Set.First] = request(j.Addr, j.Set.Provider(n), header, body)
	}
	return d, nil
}

// request is the whole text of one.
func request(addr, provider string, header http.Header, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /webhooks/%s/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", provider, Account, addr, len(body))
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func (d *driver) dial(ctx context.Context) error {
	for range d.Clients {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", d.Addr)
		if err != nil {
			return fmt.Errorf("connect to the server: %w", err)
		}
		d.conns = append(d.conns, &conn{Conn: nc, in: bufio.NewReaderSize(nc, 4096), replies: map[int]int{}})
	}
	return nil
}

// conn is one client's connection, with what it has seen.
type conn struct {
	net.Conn
	in      *bufio.Reader
	took    bench.Latencies
	replies map[int]int
	acked   []int
}

func (d *driver) run() (Result, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return Result{}, err
	}
	begin := time.Now()
	errs := make([]error, len(d.conns))
	var wg sync.WaitGroup
	for i, c := range d.conns {
		wg.Go(func() {
			if d.Rate > 0 {
				errs[i] = d.open(c, begin, uint64(i))
			} else {
				errs[i] = d.closed(c)
			}
		})
	}
	wg.Wait()
	last := time.Now()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return Result{}, err
	}
	r := Result{
		FirstByte: d.first.Load(), LastReply: last.UnixNano(), Acknowledged: make([]byte, (d.Set.Count+7)/8), Replies: map[int]int{},
		Retries: int(d.retries.Load()), CPUMicros: micros(after) - micros(before), BodyBytes: d.bytes / max(1, Orders(d.Events)),
	}
	var took bench.Latencies
	for _, c := range d.conns {
		took = append(took, c.took...)
		for status, n := range c.replies {
			r.Replies[status] += n
		}
		for _, n := range c.acked {
			i := n - d.Set.First
			r.Acknowledged[i/8] |= 1 << (i % 8)
		}
		_ = c.Close()
	}
	r.P50Millis, r.P99Millis, r.MaxMillis = bench.Millis(took.Percentile(0.5)), bench.Millis(took.Percentile(0.99)), bench.Millis(took.Percentile(1))
	return r, errors.Join(errs...)
}

func micros(u syscall.Rusage) int64 {
	return (u.Utime.Sec+u.Stime.Sec)*1_000_000 + u.Utime.Usec + u.Stime.Usec
}

// closed sends one after the other.
func (d *driver) closed(c *conn) error {
	for {
		i := int(d.next.Add(1)) - 1
		if i >= len(d.schedule) {
			return nil
		}
		if err := d.send(c, i, time.Now()); err != nil {
			return err
		}
	}
}

// open sends when it is due: the sum of the clients' Poisson processes is one.
// What is due while the answer is awaited is sent after it, and its time counts
// from when it was due.
func (d *driver) open(c *conn, begin time.Time, client uint64) error {
	draw := rand.New(rand.NewPCG(d.Seed, 1<<32|client)) //nolint:gosec // chance that can be repeated
	mean := float64(d.Clients) / d.Rate * float64(time.Second)
	due := begin
	for {
		i := int(d.next.Add(1)) - 1
		if i >= len(d.schedule) {
			return nil
		}
		due = due.Add(time.Duration(draw.ExpFloat64() * mean))
		pause(time.Until(due))
		if err := d.send(c, i, due); err != nil {
			return err
		}
	}
}

// pause waits for so long; for what is over already, not at all.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// send sends the ith webhook until it is acknowledged.
func (d *driver) send(c *conn, i int, due time.Time) error {
	n := d.schedule[i]
	for try := range tries {
		now := time.Now()
		if try == 0 {
			d.first.CompareAndSwap(0, now.UnixNano())
		}
		if err := c.SetDeadline(now.Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write(d.requests[n-d.Set.First]); err != nil {
			return fmt.Errorf("send a webhook: %w", err)
		}
		status, err := c.reply()
		if err != nil {
			return fmt.Errorf("read the answer to a webhook: %w", err)
		}
		c.replies[status]++
		switch {
		case status/100 == 2:
			c.took = append(c.took, time.Since(due))
			c.acked = append(c.acked, n)
			return nil
		case status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests:
			return fmt.Errorf("a webhook was answered with status %d", status)
		}
		d.retries.Add(1)
		pause(comeBack) // as a provider would, only sooner
	}
	return fmt.Errorf("a webhook was put off %d times", tries)
}

// reply reads one answer and returns its status. It reads as much of HTTP as the
// server writes: a status line, headers and a body of a stated length.
func (c *conn) reply() (int, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("%q is no status line", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("%q is no status line", line)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		const name = "Content-Length: "
		if len(line) > len(name) && string(line[:len(name)]) == name {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 || length > maxReply {
		return 0, fmt.Errorf("an answer of status %d has a body of length %d", status, length)
	}
	_, err = c.in.Discard(length)
	return status, err
}
