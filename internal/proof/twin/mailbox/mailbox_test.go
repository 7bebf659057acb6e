package mailbox

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// letter is a mail as many programs write it, in both alternatives.
const letter = "From: a@example.com\r\nTo: b@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.com>\r\n" +
	"Content-Type: multipart/alternative; boundary=x\r\n\r\n" +
	"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Go to https://photos.example/link/lnk_a-b=\r\n_c. <Now>\r\n.\r\n" +
	"--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aGVsbG88L2I+\r\n--x--\r\n"

type world struct {
	t      *testing.T
	box    *Box
	client Client
}

func start(t *testing.T, cfg Config) *world {
	t.Helper()
	b := New(cfg)
	require.NoError(t, b.Listen())
	s := httptest.NewServer(http.StripPrefix("/mailbox", b.Handler()))
	t.Cleanup(func() { b.Close(); s.Close() })
	return &world{t, b, Client{Base: s.URL + "/mailbox"}}
}

// send is another's client: net/smtp.
func (w *world) send(to ...string) error {
	return smtp.SendMail(w.box.Addr().String(), nil, "a@example.com", to, []byte(letter))
}

func (w *world) get(path string) (int, string) {
	w.t.Helper()
	resp := httptest.NewRecorder()
	w.box.Handler().ServeHTTP(resp, httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, path, nil))
	return resp.Code, resp.Body.String()
}

func TestMailIsKeptAndRead(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	require.NoError(t, w.send("b@example.com", "c@example.com"))
	all, err := w.client.List(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	mine, err := w.client.List(t.Context(), "C@example.com")
	require.NoError(t, err)
	require.Len(t, mine, 1)
	m := mine[0]
	require.Equal(t, []string{"a@example.com", "c@example.com", "Grüße", "<1@example.com>"}, []string{m.From, m.To, m.Subject, m.MessageID})
	require.Equal(t, "<b>hello</b>", strings.TrimSpace(m.HTML))
	require.Equal(t, []string{"https://photos.example/link/lnk_a-b_c"}, m.Links())
	require.Contains(t, m.Text, "\n.", "a line of one dot does not end a mail")
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	require.NoError(t, w.send("b@example.com"))
	for path, want := range map[string][]string{
		"/":                      {`<a href="mails/1">Grüße</a>`, "to b@example.com"},
		"/?to=x%22@example.com":  {"No mail yet", `value="x&#34;@example.com"`},
		"/mails/1":               {`<a href="https://photos.example/link/lnk_a-b_c">`, "&lt;Now&gt;", `href="1/html"`, `href="../"`},
		"/mails/1/html":          {"<b>hello</b>"},
		"/api/mails?to=&after=1": {"[]"},
	} {
		status, body := w.get(path)
		require.Equal(t, http.StatusOK, status, path)
		for _, part := range want {
			require.Contains(t, body, part, path)
		}
	}
	for _, path := range []string{"/mails/2", "/mails/x", "/mails/0"} {
		status, _ := w.get(path)
		require.Equal(t, http.StatusNotFound, status)
	}
}

func TestWaitingForMail(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	require.NoError(t, w.send("b@example.com"))
	var late errgroup.Group
	got := make(chan Mail, 1)
	late.Go(func() error {
		m, err := w.client.Wait(t.Context(), "b@example.com", 1)
		got <- m
		return err
	})
	require.NoError(t, w.send("c@example.com"))
	require.NoError(t, w.send("b@example.com"))
	require.NoError(t, late.Wait())
	require.Equal(t, int64(3), (<-got).Seq)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := w.client.Wait(ctx, "nobody@example.com", 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	order := func(f Fault) { require.NoError(t, w.client.Fault(t.Context(), f)) }
	order(Fault{Kind: Refuse, To: "b@example.com", Times: 1})
	order(Fault{Kind: Defer, Times: 2})
	require.ErrorContains(t, w.send("b@example.com"), "550")
	require.ErrorContains(t, w.send("b@example.com"), "451")
	require.ErrorContains(t, w.send("c@example.com"), "451")
	require.NoError(t, w.send("b@example.com"))
	require.Len(t, w.box.List("", 0), 1)

	order(Fault{Kind: CutLost, Times: 1})
	require.Error(t, w.send("b@example.com"))
	require.Len(t, w.box.List("", 0), 1)
	order(Fault{Kind: Cut, Times: 1})
	require.Error(t, w.send("b@example.com"))
	require.Len(t, w.box.List("", 0), 2, "the sender heard nothing, and the mail is here")
	order(Fault{Kind: Slow, Times: 1, DelayMS: 1})
	require.NoError(t, w.send("b@example.com"))

	order(Fault{Kind: Refuse})
	require.NoError(t, w.client.Heal(t.Context()))
	require.NoError(t, w.send("b@example.com"))
	require.Error(t, w.client.Fault(t.Context(), Fault{Kind: "explode"}))
}

// A slow mail does not keep the mailbox from closing.
func TestCloseWhileSlow(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	w.box.Fault(Fault{Kind: Slow, DelayMS: int(time.Hour.Milliseconds())})
	var late errgroup.Group
	late.Go(func() error { return w.send("b@example.com") })
	w.box.Close()
	require.Error(t, late.Wait())
	require.Empty(t, w.box.List("", 0))
}

func TestOldestMailsGo(t *testing.T) {
	t.Parallel()
	w := start(t, Config{Keep: 2})
	for range 3 {
		require.NoError(t, w.send("b@example.com"))
	}
	mails := w.box.List("", 0)
	require.Len(t, mails, 2)
	require.Equal(t, int64(2), mails[0].Seq)
}

// What is no mail address, and what ends before its last line, is no mail.
func TestNotMail(t *testing.T) {
	t.Parallel()
	w := start(t, Config{})
	c, err := smtp.Dial(w.box.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.Mail("a@example.com"))
	require.Error(t, c.Rcpt("not an address"))
	require.NoError(t, c.Rcpt("b@example.com"))
	data, err := c.Data()
	require.NoError(t, err)
	_, err = data.Write([]byte("Subject: half"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, w.send("c@example.com"))
	require.Len(t, w.box.List("", 0), 1)
	require.Equal(t, Mail{}, parse([]byte("no mail")))
}
