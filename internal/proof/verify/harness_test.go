package verify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBarrier(t *testing.T) {
	t.Parallel()
	w := &World{dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	b, err := w.NewBarrier(ctx)
	require.NoError(t, err)
	through := make(chan struct{}, 10)
	arrive := func() {
		c, err := net.Dial("unix", b.path)
		if err != nil {
			through <- struct{}{} // nobody holds any more
			return
		}
		_, _ = fmt.Fprintln(c, "point")
		_, _ = io.Copy(io.Discard, c)
		through <- struct{}{}
	}
	go arrive()
	go arrive()
	require.Equal(t, 2, b.Await(t.Context(), 2, 10*time.Second))
	require.Empty(t, through, "both are held")
	b.Release()
	<-through
	<-through
	require.Equal(t, 0, b.Await(t.Context(), 1, time.Millisecond), "nobody comes")
	go arrive()
	require.Equal(t, 1, b.Await(t.Context(), 1, 10*time.Second))
	cancel() // a scenario that ends holds nobody
	<-through
	arrive()
	<-through
	require.Equal(t, 3, b.Arrived())
	require.Equal(t, "a.b=hold:"+b.path, b.At("a.b"))
	require.Equal(t, "a.b=kill@2", KillAt("a.b", 2))
}

// A dead instance's connections break, and the next ones go to another.
func TestFront(t *testing.T) {
	t.Parallel()
	serve := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	}
	one, other := serve("one"), serve("other")
	defer other.Close()
	f, err := newFront(t.Context())
	require.NoError(t, err)
	defer f.close()
	a, b := &Instance{URL: one.URL}, &Instance{URL: other.URL}
	get := func() string {
		res, err := http.Get(f.url())
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := bufio.NewReader(res.Body).ReadString(0)
		require.ErrorIs(t, err, io.EOF)
		return body
	}
	f.route(a, b)
	require.Equal(t, "one", get())
	f.route(b, a)
	require.Equal(t, "other", get(), "also where a connection stood")
	f.route(a, b)
	one.Close()
	require.Equal(t, "other", get())
}

func TestPressure(t *testing.T) {
	t.Parallel()
	var p pressure
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	p.span("a", at(0), at(10))
	p.span("a", at(5), at(20))
	p.span("a", at(15), at(30))
	p.span("a", at(40), at(50))
	p.span("b", at(0), at(50)) // another thing
	p.add(FaultsFired, 2)
	p.add(FaultsFired, 1)
	require.Equal(t, map[string]int{Overlapping: 2, FaultsFired: 3}, p.totals())
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := FindBinaries(dir + "/proofroom")
	require.Error(t, err)
	touch(t, dir+"/proofroom")
	b, err := FindBinaries(dir + "/proofroom")
	require.NoError(t, err)
	require.Equal(t, Binaries{Release: dir + "/proofroom"}, b, "the proof build is not there")
	touch(t, dir+"/proofroom-proof")
	b, err = FindBinaries(dir + "/proofroom-proof")
	require.NoError(t, err)
	require.Equal(t, Binaries{Release: dir + "/proofroom", Proof: dir + "/proofroom-proof"}, b)
}
