package twin_test

import (
	"context"
	"net"
	"net/http/httptest"
	"net/smtp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	tw := twin.New(twin.Config{PublicURL: "http://pay.example/"})
	url, err := tw.Listen()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tw.Run(ctx) }()
	control := &twin.Control{Base: url}
	_, err = control.State(t.Context())
	require.NoError(t, err)
	s, err := stripeClient(url, twin.DefaultSecretKey).V1CheckoutSessions.Create(t.Context(), request())
	require.NoError(t, err)
	require.Equal(t, "http://pay.example/pay/"+s.ID, s.URL)
	cancel()
	require.NoError(t, <-ended)
	_, err = control.State(t.Context())
	require.Error(t, err)

	busy := twin.New(twin.Config{})
	t.Cleanup(busy.Close)
	held, err := busy.Listen()
	require.NoError(t, err)
	second := twin.New(twin.Config{Addr: held[len("http://"):]})
	require.ErrorContains(t, second.Run(t.Context()), "choose another address")
}

// TestTakesMail: what is sent to the twin by SMTP is read in its mailbox.
func TestTakesMail(t *testing.T) {
	t.Parallel()
	tw := twin.New(twin.Config{})
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(func() { srv.Close(); tw.Close() })
	c := &twin.Control{Base: srv.URL}
	host, port, err := c.MailServer(t.Context())
	require.NoError(t, err)
	raw := "Subject: Hello\r\nFrom: a@example.com\r\nTo: b@example.com\r\nMessage-ID: <1@example.com>\r\n\r\nHello.\r\n"
	require.NoError(t, smtp.SendMail(net.JoinHostPort(host, strconv.Itoa(port)), nil, "a@example.com", []string{"b@example.com"}, []byte(raw)))
	mails, err := c.Mailbox().List(t.Context(), "b@example.com")
	require.NoError(t, err)
	require.Len(t, mails, 1)
	require.Equal(t, "Hello", mails[0].Subject)
}
