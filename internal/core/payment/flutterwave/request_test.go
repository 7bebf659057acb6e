package flutterwave

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func order() payment.CheckoutRequest {
	return payment.CheckoutRequest{
		AttemptID: uuid.MustParse("0199aaaa-0000-7000-8000-000000000001"),
		OrderID:   uuid.MustParse("0199aaaa-0000-7000-8000-000000000002"),
		Currency:  "NGN", Email: "ada@example.com", Description: "Spring run",
		Lines:      []payment.CheckoutLine{{Name: "DSC_0001", Price: 90000}, {Name: "DSC_0002", Price: 10050}},
		SuccessURL: "https://shop.example/orders/7?from=paid", CancelURL: "https://shop.example/orders/7?from=canceled",
		ExpiresAt: now.Add(23*time.Hour + 30*time.Minute),
	}
}

// TestThePageRequestWordForWord has every byte that is sent: the facts of
// Flutterwave's documentation are its only judge.
func TestThePageRequestWordForWord(t *testing.T) {
	t.Parallel()
	page, err := newPage(order(), now)
	require.NoError(t, err)
	sent, err := json.Marshal(page)
	require.NoError(t, err)
	require.Equal(t, `{"tx_ref":"0199aaaa-0000-7000-8000-000000000001","amount":1000.50,"currency":"NGN",`+
		`"redirect_url":"https://shop.example/orders/7?from=paid","customer":{"email":"ada@example.com"},`+
		`"meta":{"attempt_id":"0199aaaa-0000-7000-8000-000000000001","order_id":"0199aaaa-0000-7000-8000-000000000002"},`+
		`"configurations":{"session_duration":1410,"max_retry_attempt":5},"customizations":{"title":"Spring run"}}`, string(sent))
}

func TestThePagesLife(t *testing.T) {
	t.Parallel()
	for life, minutes := range map[time.Duration]int64{
		time.Minute: 1, 90 * time.Second: 1, time.Hour: 60, 24 * time.Hour: 1440, 72 * time.Hour: 1440,
	} {
		in := order()
		in.ExpiresAt = now.Add(life)
		page, err := newPage(in, now)
		require.NoError(t, err)
		require.Equal(t, minutes, page.Configurations.SessionDuration, life)
	}
}

func TestPagesThatAreNotAskedFor(t *testing.T) {
	t.Parallel()
	for code, spoil := range map[string]func(*payment.CheckoutRequest){
		"email":    func(in *payment.CheckoutRequest) { in.Email = "" },
		"expired":  func(in *payment.CheckoutRequest) { in.ExpiresAt = now.Add(59 * time.Second) },
		"amount":   func(in *payment.CheckoutRequest) { in.Lines = nil },
		"amount 2": func(in *payment.CheckoutRequest) { in.Currency = "JPY" },
		"amount 3": func(in *payment.CheckoutRequest) { in.Currency = "" },
		"amount 4": func(in *payment.CheckoutRequest) { in.Lines[1].Price = -1 },
		"amount 5": func(in *payment.CheckoutRequest) { in.Lines[1].Price = maximum },
	} {
		in := order()
		spoil(&in)
		_, err := newPage(in, now)
		var rejected *payment.RejectedError
		require.ErrorAs(t, err, &rejected, code)
		require.Equal(t, strings.Fields(code)[0], rejected.Code)
	}
}

func TestTitles(t *testing.T) {
	t.Parallel()
	in := order()
	for said, want := range map[string]string{
		"Spring run": "Spring run", " ": "DSC_0001", "a\xffb": "a\uFFFDb",
		strings.Repeat("ü", 500): strings.Repeat("ü", maxTitle) + "…",
	} {
		in.Description = said
		require.Equal(t, want, title(in))
	}
	in.Description, in.Lines = "", nil
	require.Equal(t, "Order", title(in))
}

func TestWhoseReferenceItIs(t *testing.T) {
	t.Parallel()
	own := uuid.MustParse("0199aaaa-0000-7000-8000-00000000000a")
	for text, want := range map[string]uuid.UUID{
		own.String(): own, strings.ToUpper(own.String()): own,
		"": uuid.Nil, "MC-1585230950508": uuid.Nil, "{" + own.String() + "}": uuid.Nil, "urn:uuid:" + own.String(): uuid.Nil,
		strings.ReplaceAll(own.String(), "-", ""): uuid.Nil,
	} {
		require.Equal(t, want, ownID(text), text)
	}
	require.Equal(t, own, noted(refund{Comment: note(own)}))
	require.Equal(t, own, noted(refund{Comments: note(own)}))
	require.Equal(t, uuid.Nil, noted(refund{Comment: "Product out of stock."}))
	require.Equal(t, uuid.Nil, noted(refund{Comment: fmt.Sprintf("again: refund %s", own)}))
}
