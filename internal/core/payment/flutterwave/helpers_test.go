package flutterwave_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
)

const (
	hash    = "my-secret-hash"
	oldHash = "my-older-hash"
	testKey = "FLWSECK_TEST-SANDBOXDEMOKEY-X"
)

var (
	attempt = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000a")
	request = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000b")
	now     = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

func client(t testing.TB, change ...func(*flutterwave.Config)) *flutterwave.Client {
	t.Helper()
	cfg := flutterwave.Config{Account: "main", SecretKey: testKey, SecretHashes: []string{hash, oldHash}}
	for _, f := range change {
		f(&cfg)
	}
	c, err := flutterwave.New(cfg)
	require.NoError(t, err)
	return c
}

func order() payment.CheckoutRequest {
	return payment.CheckoutRequest{
		AttemptID: attempt, OrderID: uuid.New(), Currency: "NGN", Email: "ada@example.com", Description: "Spring run",
		Lines:      []payment.CheckoutLine{{Name: "DSC_0001", Price: 10000}},
		SuccessURL: "https://shop.example/done", CancelURL: "https://shop.example/cart", ExpiresAt: time.Now().Add(time.Hour),
	}
}

// script answers as it was told, and keeps what it was asked.
type script struct {
	*flutterwave.Client

	mu      sync.Mutex
	answers map[string]string // by method and path with query; "400 " in front gives a status
	asked   []string
	bodies  []string
}

func scripted(t *testing.T, answers map[string]string) *script {
	t.Helper()
	s := &script{answers: answers}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.Client = client(t, func(cfg *flutterwave.Config) { cfg.BaseURL = srv.URL })
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := r.Method + " " + r.URL.RequestURI()
	s.asked = append(s.asked, what)
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body))
	if r.Header.Get("Authorization") != "Bearer "+testKey {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"status":"error","message":"Invalid authorization key","data":null}`)
		return
	}
	answer, ok := s.answers[what]
	if !ok {
		answer = `400 {"status":"error","message":"No transaction was found for this id","data":null}`
	}
	status := http.StatusOK
	if n, _ := fmt.Sscanf(answer, "%d ", &status); n == 1 {
		answer = answer[4:]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func paymentOf(id, status string, amount int64) payment.Observation {
	return payment.Observation{
		Provider: "flutterwave", Account: "main", Kind: payment.KindPayment, AttemptID: attempt, PaymentID: id,
		Status: status, Amount: amount, Currency: "NGN",
	}
}

func attemptOf(status string) payment.Observation {
	return payment.Observation{
		Provider: "flutterwave", Account: "main", Kind: payment.KindAttempt, AttemptID: attempt, Ref: attempt.String(), Status: status,
	}
}

func refundOf(id, of, status string, amount int64) payment.Observation {
	return payment.Observation{
		Provider: "flutterwave", Account: "main", Kind: payment.KindRefund, RefundID: id, PaymentID: of, Unnamed: true,
		Status: status, Amount: amount, Currency: "NGN",
	}
}
