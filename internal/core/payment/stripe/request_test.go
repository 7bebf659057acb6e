package stripe

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/form"

	"proofroom/internal/core/payment"
)

func encode(t *testing.T, p *sdk.CheckoutSessionCreateParams) url.Values {
	t.Helper()
	v := &form.Values{}
	form.AppendTo(v, p)
	parsed, err := url.ParseQuery(v.Encode())
	require.NoError(t, err)
	return parsed
}

func formValue(t *testing.T, p *sdk.CheckoutSessionCreateParams, key string) string {
	t.Helper()
	return encode(t, p).Get(key)
}

func TestCreateRequestCarriesOurIds(t *testing.T) {
	t.Parallel()
	in := payment.CheckoutRequest{
		AttemptID: uuid.MustParse("0199aaaa-0000-7000-8000-000000000001"),
		OrderID:   uuid.MustParse("0199aaaa-0000-7000-8000-000000000002"),
		Currency:  "USD", Email: "ada@example.com", Description: "Spring run",
		Lines:      []payment.CheckoutLine{{Name: "DSC_0001", Price: 900}, {Name: " ", Price: 100}},
		SuccessURL: "https://shop.example/return?o=7", CancelURL: "https://shop.example/cart",
		ExpiresAt: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	}
	p, err := createParams(in)
	require.NoError(t, err)
	got := encode(t, p)
	for key, want := range map[string]string{
		"mode":                 "payment",
		"client_reference_id":  in.OrderID.String(),
		"metadata[attempt_id]": in.AttemptID.String(),
		"metadata[order_id]":   in.OrderID.String(),
		"payment_intent_data[metadata][attempt_id]":     in.AttemptID.String(),
		"payment_intent_data[metadata][order_id]":       in.OrderID.String(),
		"payment_intent_data[transfer_group]":           in.OrderID.String(),
		"payment_intent_data[description]":              "Spring run",
		"expires_at":                                    "1777636800",
		"customer_email":                                "ada@example.com",
		"success_url":                                   "https://shop.example/return?o=7&session_id={CHECKOUT_SESSION_ID}",
		"cancel_url":                                    "https://shop.example/cart",
		"line_items[0][quantity]":                       "1",
		"line_items[0][price_data][currency]":           "usd",
		"line_items[0][price_data][unit_amount]":        "900",
		"line_items[0][price_data][product_data][name]": "DSC_0001",
		"line_items[1][price_data][product_data][name]": "Item",
	} {
		require.Equal(t, want, got.Get(key), key)
	}
	again, err := createParams(in)
	require.NoError(t, err)
	require.Equal(t, got, encode(t, again), "a repeated call sends the same fields")
}

func TestManyLinesAreFolded(t *testing.T) {
	t.Parallel()
	in := payment.CheckoutRequest{Currency: "EUR"}
	for i := range 250 {
		in.Lines = append(in.Lines, payment.CheckoutLine{Name: fmt.Sprintf("Photo %d", i), Price: int64(i)})
	}
	p, err := createParams(in)
	require.NoError(t, err)
	require.Len(t, p.LineItems, 100)
	var total int64
	for _, l := range p.LineItems {
		total += *l.PriceData.UnitAmount
	}
	require.EqualValues(t, 250*249/2, total)
	require.Equal(t, "151 more items", *p.LineItems[99].PriceData.ProductData.Name)
	require.Equal(t, "Photo 98", *p.LineItems[98].PriceData.ProductData.Name)
	require.Equal(t, "Photo 99", in.Lines[99].Name, "the caller's lines are untouched")

	in.Lines = in.Lines[:100]
	p, err = createParams(in)
	require.NoError(t, err)
	require.Equal(t, "Photo 99", *p.LineItems[99].PriceData.ProductData.Name)

	in.Lines = nil
	_, err = createParams(in)
	require.Error(t, err)
}

func TestNamesAreCleaned(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a\uFFFDb", clean("a\xffb"))
	long := clean(strings.Repeat("ü", 5000))
	require.Len(t, []rune(long), maxName)
	require.True(t, strings.HasSuffix(long, "…"))
}

func TestReturnAddress(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://a.example/x?session_id={CHECKOUT_SESSION_ID}", withSessionID("https://a.example/x"))
	require.Equal(t, "https://a.example/x?s={CHECKOUT_SESSION_ID}&y", withSessionID("https://a.example/x?s={CHECKOUT_SESSION_ID}&y"))
}
