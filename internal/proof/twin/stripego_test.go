package twin_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"
)

// Stripe's own client is the judge of what the twin says.

func TestStripesClientReadsAPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	s := w.open(t, func(p *sdk.CheckoutSessionCreateParams) {
		p.ExpiresAt = sdk.Int64(expires.Unix())
		p.AddExpand("line_items")
	})
	require.Regexp(t, `^cs_test_[0-9A-Za-z]{58}$`, s.ID)
	require.Equal(t, sdk.CheckoutSessionStatusOpen, s.Status)
	require.Equal(t, sdk.CheckoutSessionPaymentStatusUnpaid, s.PaymentStatus)
	require.Equal(t, sdk.CheckoutSessionModePayment, s.Mode)
	require.EqualValues(t, 1500, s.AmountTotal)
	require.EqualValues(t, 1500, s.AmountSubtotal)
	require.Equal(t, sdk.CurrencyUSD, s.Currency)
	require.Equal(t, "order-1", s.ClientReferenceID)
	require.Equal(t, "ada@example.com", s.CustomerEmail)
	require.Equal(t, map[string]string{"attempt_id": "attempt-1", "only": "session"}, s.Metadata)
	require.Equal(t, expires.Unix(), s.ExpiresAt)
	require.Equal(t, w.url+"/pay/"+s.ID, s.URL)
	require.Nil(t, s.PaymentIntent, "the payment intent comes with the first try to pay")
	require.False(t, s.Livemode)
	require.Len(t, s.LineItems.Data, 2)
	require.Equal(t, "DSC_0001", s.LineItems.Data[0].Description)
	require.EqualValues(t, 1200, s.LineItems.Data[0].AmountTotal)
	require.EqualValues(t, 1200, s.LineItems.Data[0].Price.UnitAmount)
	require.Equal(t, http.StatusOK, s.LastResponse.StatusCode)
	require.Regexp(t, `^req_`, s.LastResponse.RequestID)

	found, err := w.api.V1CheckoutSessions.Retrieve(t.Context(), s.ID, nil)
	require.NoError(t, err)
	require.Equal(t, s.ID, found.ID)
	require.Nil(t, found.LineItems, "lines come when asked for")

	var names []string
	list := &sdk.CheckoutSessionListLineItemsParams{Session: sdk.String(s.ID)}
	list.Limit = sdk.Int64(1)
	for li, err := range w.api.V1CheckoutSessions.ListLineItems(t.Context(), list).All(t.Context()) {
		require.NoError(t, err)
		names = append(names, li.Description)
	}
	require.Equal(t, []string{"DSC_0001", "DSC_0002"}, names)

	_, err = w.api.V1CheckoutSessions.Retrieve(t.Context(), "cs_test_none", nil)
	require.Equal(t, 404, stripeError(t, err).HTTPStatusCode)
	require.Equal(t, sdk.ErrorCodeResourceMissing, stripeError(t, err).Code)
}

func TestStripesClientReadsAPayment(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	paid := w.pay(t, s.ID, payCard)
	require.Equal(t, "paid", paid.Outcome)
	require.Equal(t, "https://shop.example/done?session_id="+s.ID, paid.Redirect)

	p := &sdk.CheckoutSessionRetrieveParams{}
	p.AddExpand("payment_intent.latest_charge")
	done, err := w.api.V1CheckoutSessions.Retrieve(t.Context(), s.ID, p)
	require.NoError(t, err)
	require.Equal(t, sdk.CheckoutSessionStatusComplete, done.Status)
	require.Equal(t, sdk.CheckoutSessionPaymentStatusPaid, done.PaymentStatus)
	require.Empty(t, done.URL)
	pi := done.PaymentIntent
	require.Equal(t, paid.Payment, pi.ID)
	require.Equal(t, sdk.PaymentIntentStatusSucceeded, pi.Status)
	require.EqualValues(t, 1500, pi.Amount)
	require.EqualValues(t, 1500, pi.AmountReceived)
	require.Equal(t, "order-1", pi.TransferGroup)
	require.Equal(t, "Spring run", pi.Description)
	require.Equal(t, map[string]string{"attempt_id": "attempt-1"}, pi.Metadata, "the session's own metadata is copied nowhere")
	ch := pi.LatestCharge
	require.Equal(t, paid.Charge, ch.ID)
	require.True(t, ch.Paid && ch.Captured)
	require.Equal(t, sdk.ChargeStatusSucceeded, ch.Status)
	require.Equal(t, map[string]string{"attempt_id": "attempt-1"}, ch.Metadata, "a charge has its payment intent's metadata")
	require.Equal(t, "4242", ch.PaymentMethodDetails.Card.Last4)

	alone, err := w.api.V1PaymentIntents.Retrieve(t.Context(), pi.ID, nil)
	require.NoError(t, err)
	require.Equal(t, ch.ID, alone.LatestCharge.ID)
	charge, err := w.api.V1Charges.Retrieve(t.Context(), ch.ID, nil)
	require.NoError(t, err)
	require.Equal(t, pi.ID, charge.PaymentIntent.ID)

	_, err = w.api.V1CheckoutSessions.Expire(t.Context(), s.ID, nil)
	require.Equal(t, 400, stripeError(t, err).HTTPStatusCode, "only an open page expires")
}

func TestStripesClientRefunds(t *testing.T) {
	t.Parallel()
	w := start(t)
	paid := w.pay(t, w.open(t).ID, payCard)
	var ids []string
	for _, amount := range []int64{100, 200, 300} {
		r, err := w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{
			PaymentIntent: sdk.String(paid.Payment), Amount: sdk.Int64(amount), Metadata: map[string]string{"refund_request_id": "r"},
		})
		require.NoError(t, err)
		require.Regexp(t, `^re_`, r.ID)
		require.Equal(t, sdk.RefundStatusSucceeded, r.Status)
		require.Equal(t, amount, r.Amount)
		require.Equal(t, paid.Charge, r.Charge.ID)
		require.Equal(t, paid.Payment, r.PaymentIntent.ID)
		require.Equal(t, map[string]string{"refund_request_id": "r"}, r.Metadata, "only what the request says")
		ids = append([]string{r.ID}, ids...)
	}
	for _, list := range []*sdk.RefundListParams{{Charge: sdk.String(paid.Charge)}, {PaymentIntent: sdk.String(paid.Payment)}, {}} {
		list.Limit = sdk.Int64(2)
		list.AddExpand("data.payment_intent")
		var found []string
		for r, err := range w.api.V1Refunds.List(t.Context(), list).All(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, "attempt-1", r.PaymentIntent.Metadata["attempt_id"])
			found = append(found, r.ID)
		}
		require.Equal(t, ids, found, "newest first, over two pages")
	}
	one, err := w.api.V1Refunds.Retrieve(t.Context(), ids[0], nil)
	require.NoError(t, err)
	require.EqualValues(t, 300, one.Amount)

	_, err = w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{Charge: sdk.String(paid.Charge), Amount: sdk.Int64(901)})
	require.Equal(t, 400, stripeError(t, err).HTTPStatusCode, "more than is left")
	rest, err := w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{Charge: sdk.String(paid.Charge)})
	require.NoError(t, err)
	require.EqualValues(t, 900, rest.Amount)
	require.Empty(t, rest.Metadata, "nothing of the charge's is copied")
	_, err = w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{Charge: sdk.String(paid.Charge)})
	require.Equal(t, sdk.ErrorCodeChargeAlreadyRefunded, stripeError(t, err).Code)

	p := &sdk.ChargeRetrieveParams{}
	p.AddExpand("refunds")
	ch, err := w.api.V1Charges.Retrieve(t.Context(), paid.Charge, p)
	require.NoError(t, err)
	require.True(t, ch.Refunded)
	require.EqualValues(t, 1500, ch.AmountRefunded)
	require.Len(t, ch.Refunds.Data, 4)
}

func TestStripesClientExpires(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	gone, err := w.api.V1CheckoutSessions.Expire(t.Context(), s.ID, nil)
	require.NoError(t, err)
	require.Equal(t, sdk.CheckoutSessionStatusExpired, gone.Status)
	require.Empty(t, gone.URL)
	_, err = w.api.V1CheckoutSessions.Expire(t.Context(), s.ID, nil)
	require.Equal(t, 400, stripeError(t, err).HTTPStatusCode)
	_, err = w.control.Pay(t.Context(), s.ID, payCard)
	require.Error(t, err)
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	w := start(t)
	_, err := stripeClient(w.url, "sk_test_other").V1CheckoutSessions.Create(t.Context(), request())
	require.Equal(t, 401, stripeError(t, err).HTTPStatusCode)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v1/refunds", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 401, res.StatusCode)
	req.SetBasicAuth("sk_test_twin", "")
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)

	p := request()
	p.SetStripeAccount("acct_other")
	_, err = w.api.V1CheckoutSessions.Create(t.Context(), p)
	require.Equal(t, 403, stripeError(t, err).HTTPStatusCode)
}

func TestBadRequestsAreRefusedAsStripeDoes(t *testing.T) {
	t.Parallel()
	w := start(t)
	type params = sdk.CheckoutSessionCreateParams
	extra := func(key, value string) func(*params) { return func(p *params) { p.AddExtra(key, value) } }
	for name, c := range map[string]struct {
		spoil func(*params)
		code  string
		param string
	}{
		"an unknown parameter":         {extra("colour", "red"), "parameter_unknown", "colour"},
		"an unknown nested parameter":  {extra("line_items[0][price_data][colour]", "red"), "parameter_unknown", "line_items[0][price_data][colour]"},
		"a parameter that is no path":  {extra("mode]", "x"), "parameter_unknown", "mode]"},
		"an index that is none":        {extra("line_items[x][quantity]", "1"), "parameter_unknown", "line_items[x][quantity]"},
		"one of Stripe's, not ours":    {extra("locale", "de"), "twin_unsupported", "locale"},
		"no mode":                      {func(p *params) { p.Mode = nil }, "parameter_missing", "mode"},
		"no success URL":               {func(p *params) { p.SuccessURL = nil }, "parameter_missing", "success_url"},
		"a success URL that is none":   {func(p *params) { p.SuccessURL = sdk.String("/done") }, "url_invalid", "success_url"},
		"no lines":                     {func(p *params) { p.LineItems = nil }, "parameter_missing", "line_items"},
		"a line without amount":        {func(p *params) { p.LineItems[1].PriceData.UnitAmount = nil }, "parameter_missing", "line_items[1][price_data][unit_amount]"},
		"a line without name":          {func(p *params) { p.LineItems[1].PriceData.ProductData.Name = sdk.String("") }, "parameter_invalid_empty", "line_items[1][price_data][product_data][name]"},
		"an empty order":               {func(p *params) { p.ClientReferenceID = sdk.String("") }, "parameter_invalid_empty", "client_reference_id"},
		"an unknown currency":          {func(p *params) { p.LineItems[0].PriceData.Currency = sdk.String("zzz") }, "", "line_items[0][price_data][currency]"},
		"two currencies":               {func(p *params) { p.LineItems[1].PriceData.Currency = sdk.String("eur") }, "", "line_items[1][price_data][currency]"},
		"too little":                   {func(p *params) { p.LineItems = p.LineItems[1:]; p.LineItems[0].PriceData.UnitAmount = sdk.Int64(49) }, "amount_too_small", ""},
		"too much":                     {func(p *params) { p.LineItems[0].PriceData.UnitAmount = sdk.Int64(99_999_999) }, "amount_too_large", ""},
		"less than nothing":            {func(p *params) { p.LineItems[0].PriceData.UnitAmount = sdk.Int64(-1) }, "parameter_invalid_integer", "line_items[0][price_data][unit_amount]"},
		"an amount that is no number":  {extra("expires_at", "soon"), "parameter_invalid_integer", "expires_at"},
		"no address":                   {func(p *params) { p.CustomerEmail = sdk.String("ada") }, "email_invalid", "customer_email"},
		"over in 29 minutes":           {func(p *params) { p.ExpiresAt = sdk.Int64(time.Now().Add(29 * time.Minute).Unix()) }, "", "expires_at"},
		"over in 25 hours":             {func(p *params) { p.ExpiresAt = sdk.Int64(time.Now().Add(25 * time.Hour).Unix()) }, "", "expires_at"},
		"something not to be expanded": {func(p *params) { p.AddExpand("customer") }, "", "expand"},
		"shillings with cents":         {func(p *params) { each(p, "ugx", 150050) }, "", "line_items[0][price_data][unit_amount]"},
		"krónur with cents":            {func(p *params) { each(p, "isk", 1) }, "", "line_items[0][price_data][unit_amount]"},
		"dinars with a third digit":    {func(p *params) { each(p, "tnd", 10_005) }, "", "line_items[0][price_data][unit_amount]"},
		"a subscription":               {func(p *params) { p.Mode = sdk.String("subscription") }, "", "mode"},
	} {
		_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(c.spoil))
		se := stripeError(t, err)
		require.Equal(t, 400, se.HTTPStatusCode, name)
		require.Equal(t, sdk.ErrorTypeInvalidRequest, se.Type, name)
		require.EqualValues(t, c.code, se.Code, "%s: %s", name, se.Msg)
		require.Equal(t, c.param, se.Param, name)
	}
	sessions, err := w.control.Sessions(t.Context(), noFilter)
	require.NoError(t, err)
	require.Empty(t, sessions, "a refused request leaves nothing")

	for currency, amount := range map[string]int64{"ugx": 150_000, "jpy": 75, "tnd": 10_010, "huf": 17_550} {
		w.open(t, func(p *sdk.CheckoutSessionCreateParams) { each(p, currency, amount) })
	}

	many := request()
	for len(many.LineItems) < 101 {
		many.LineItems = append(many.LineItems, many.LineItems[0])
	}
	_, err = w.api.V1CheckoutSessions.Create(t.Context(), many)
	require.Equal(t, "line_items", stripeError(t, err).Param)

	for _, q := range []*sdk.RefundCreateParams{
		{}, {PaymentIntent: sdk.String("pi_none")}, {Charge: sdk.String("ch_none")}, {Charge: sdk.String("a"), PaymentIntent: sdk.String("b")},
	} {
		_, err := w.api.V1Refunds.Create(t.Context(), q)
		require.Equal(t, 400, stripeError(t, err).HTTPStatusCode)
	}
	_, err = w.api.V1Customers.Retrieve(t.Context(), "cus_1", nil)
	require.Equal(t, 404, stripeError(t, err).HTTPStatusCode, "an address that the twin does not have")
}

// each gives every line one price.
func each(p *sdk.CheckoutSessionCreateParams, currency string, amount int64) {
	for _, l := range p.LineItems {
		l.PriceData.Currency, l.PriceData.UnitAmount = sdk.String(currency), sdk.Int64(amount)
	}
}
