package twin_test

import (
	"context"
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
