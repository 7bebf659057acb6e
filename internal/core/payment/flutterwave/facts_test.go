package flutterwave_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// Bodies as Flutterwave's documentation shows them, with our own tx_ref. They are
// the judge of this package: nothing here was made by it.

func verified(id, amount, status string) string {
	return `{"status":"success","message":"Transaction fetched successfully","data":` + transaction(id, amount, status) + `}`
}

func transaction(id, amount, status string) string {
	return fmt.Sprintf(`{"id":%s,"tx_ref":%q,"flw_ref":"YemiDesola/FLW275407301","device_fingerprint":"N/A","amount":%s,
		"currency":"NGN","charged_amount":%s,"app_fee":1.4,"merchant_fee":0,"processor_response":"Approved by Financial Institution",
		"auth_model":"PIN","ip":"::ffff:10.5.179.3","narration":"CARD Transaction ","status":%q,"payment_type":"card",
		"created_at":"2020-07-15T14:31:16.000Z","account_id":17321,"card":{"first_6digits":"232343","last_4digits":"4567",
		"issuer":"FIRST CITY MONUMENT BANK PLC","country":"NIGERIA NG","type":"VERVE","expiry":"02/23"},"meta":null,
		"amount_settled":98.6,"customer":{"id":216519823,"name":"Yemi Desola","email":"user@gmail.com"}}`, id, attempt, amount, amount, status)
}

func list(message string, pages int, entries ...string) string {
	return fmt.Sprintf(`{"status":"success","message":%q,"meta":{"page_info":{"total":%d,"current_page":1,"total_pages":%d}},"data":[%s]}`,
		message, len(entries), pages, strings.Join(entries, ","))
}

const hostedLink = `{"status":"success","message":"Hosted Link","data":{"link":"https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-01hynrt7cd1fpm6gtef6khn93g"}}`

var (
	byReference = "GET /v3/transactions/verify_by_reference?tx_ref=" + attempt.String()
	byList      = "GET /v3/transactions?tx_ref=" + attempt.String()
)

func TestAPageIsOpened(t *testing.T) {
	t.Parallel()
	s := scripted(t, map[string]string{"POST /v3/payments": hostedLink})
	in := order()
	page, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, attempt.String(), page.Ref)
	require.Equal(t, "https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-01hynrt7cd1fpm6gtef6khn93g", page.URL)
	require.True(t, page.Open)
	require.Empty(t, page.Facts)
	require.WithinDuration(t, in.ExpiresAt, page.ExpiresAt, 61*time.Second)
	require.False(t, page.ExpiresAt.After(in.ExpiresAt))
	require.Contains(t, s.bodies[0], `"amount":100.00,"currency":"NGN"`)
}

// TestWhatWasPaid has every way in which a tx_ref may stand.
func TestWhatWasPaid(t *testing.T) {
	t.Parallel()
	paid := func(id string, amount int64) payment.Observation {
		o := paymentOf(id, "succeeded", amount)
		o.Fee = 140
		return o
	}
	for name, c := range map[string]struct {
		answers map[string]string
		open    bool
		facts   []payment.Observation
	}{
		"nothing yet": {nil, true, nil},
		"a card": {
			map[string]string{byReference: verified("288200108", "100", "successful")},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("288200108", 10000)},
		},
		"in capitals": {
			map[string]string{byReference: verified("288200108", "100", "SUCCESSFUL")},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("288200108", 10000)},
		},
		"mobile money under way": {
			map[string]string{byReference: verified("288200108", "100", "pending")},
			false,
			[]payment.Observation{attemptOf("processing"), paymentOf("288200108", "pending", 10000)},
		},
		"a failed try": {
			map[string]string{byReference: verified("288200108", "100", "failed")},
			true,
			[]payment.Observation{paymentOf("288200108", "failed", 10000)},
		},
		"failed, then paid, of which one endpoint knows one": {
			map[string]string{
				byReference: verified("1", "100", "failed"),
				byList:      list("Transactions fetched", 1, transaction(`"2"`, "100", "successful"), transaction(`"1"`, "100", "failed")),
			},
			false,
			[]payment.Observation{attemptOf("succeeded"), paymentOf("1", "failed", 10000), paid("2", 10000)},
		},
		"paid twice": {
			map[string]string{
				byReference: verified("1", "100", "successful"),
				byList:      list("Transactions fetched", 2, transaction(`"1"`, "100", "successful")),
				"GET /v3/transactions?page=2&tx_ref=" + attempt.String(): list("Transactions fetched", 2, transaction(`"2"`, "100.00", "successful")),
			},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("1", 10000), paid("2", 10000)},
		},
		"the list is behind": {
			map[string]string{
				byReference: verified("1", "100", "successful"),
				byList:      list("Transactions fetched", 1, transaction(`"1"`, "100", "pending")),
			},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("1", 10000)},
		},
		"the list is ahead": {
			map[string]string{
				byReference: verified("1", "100", "pending"),
				byList:      list("Transactions fetched", 1, transaction(`"1"`, "100", "successful")),
			},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("1", 10000)},
		},
		"too little is told as it is": {
			map[string]string{byReference: verified("1", "99.99", "successful")},
			false,
			[]payment.Observation{attemptOf("succeeded"), paid("1", 9999)},
		},
		"another page's payment in the list": {
			map[string]string{byList: list("Transactions fetched", 1, strings.Replace(transaction(`"1"`, "100", "successful"), attempt.String(), uuid.NewString(), 1))},
			true, nil,
		},
		"another page's payment by reference": {
			map[string]string{byReference: strings.Replace(verified("1", "100", "successful"), attempt.String(), uuid.NewString(), 1)},
			true, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := scripted(t, c.answers).FetchCheckout(t.Context(), attempt.String())
			require.NoError(t, err)
			require.Equal(t, payment.Checkout{Ref: attempt.String(), Open: c.open, Facts: c.facts}, found)
		})
	}
}

func TestTheFeeIsWhatWasKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		was, is string
		fee     int64
	}{
		"a fraction is a whole": {`"app_fee":1.4`, `"app_fee":26.875`, 2688},
		"not known yet":         {`"app_fee":1.4`, `"app_fee":null`, 0},
		"the payer bore it":     {`"charged_amount":100`, `"charged_amount":101.40`, 0},
		"the payer bore a part": {`"charged_amount":100`, `"charged_amount":101`, 40},
	} {
		s := scripted(t, map[string]string{byReference: strings.Replace(verified("1", "100", "successful"), c.was, c.is, 1)})
		found, err := s.FetchCheckout(t.Context(), attempt.String())
		require.NoError(t, err, name)
		require.Equal(t, c.fee, found.Facts[1].Fee, name)
		require.EqualValues(t, 10000, found.Facts[1].Amount, "the amount, not what was charged: %s", name)
	}
}

func TestAPageIsClosed(t *testing.T) {
	t.Parallel()
	const link, disable = "https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-1", "POST /v3/payments/link/disable"
	const off = `{"status":"success","message":"LINK DISABLED","data":true}`
	const before = `400 {"status":"error","message":"This payment link is currently inactive","data":null}`
	for name, c := range map[string]struct {
		answers map[string]string
		want    []payment.Observation
	}{
		"unpaid":              {map[string]string{disable: off}, []payment.Observation{attemptOf("closed")}},
		"closed before":       {map[string]string{disable: before}, []payment.Observation{attemptOf("closed")}},
		"after a failed try":  {map[string]string{disable: off, byReference: verified("1", "100", "failed")}, []payment.Observation{attemptOf("closed"), paymentOf("1", "failed", 10000)}},
		"while money is sent": {map[string]string{disable: off, byReference: verified("1", "100", "pending")}, []payment.Observation{attemptOf("processing"), paymentOf("1", "pending", 10000)}},
	} {
		s := scripted(t, c.answers)
		page, err := s.CloseCheckout(t.Context(), attempt.String(), link)
		require.NoError(t, err, name)
		require.Equal(t, payment.Checkout{Ref: attempt.String(), Facts: c.want}, page, name)
		require.JSONEq(t, `{"link":"`+link+`"}`, s.bodies[0])
		require.Equal(t, disable, s.asked[0], "the link is disabled before anybody looks: %s", name)
	}

	// Whatever else the link's endpoint says: paid is paid, unpaid is not known.
	for _, refusal := range []string{`400 {"status":"error","message":"Invalid link","data":null}`} {
		paid := scripted(t, map[string]string{disable: refusal, byReference: verified("1", "100", "successful")})
		page, err := paid.CloseCheckout(t.Context(), attempt.String(), link)
		require.NoError(t, err)
		require.Equal(t, "succeeded", page.Facts[0].Status)
		_, err = scripted(t, map[string]string{disable: refusal}).CloseCheckout(t.Context(), attempt.String(), link)
		var rejected *payment.RejectedError
		require.ErrorAs(t, err, &rejected)
	}
	_, err := scripted(t, nil).CloseCheckout(t.Context(), attempt.String(), "")
	unknown(t, err)
}

const refunds = "GET /v3/refunds?id=288200108"

func listed(id, amount, status, comment string) string {
	return fmt.Sprintf(`{"id":%s,"amount_refunded":%s,"status":%q,"flw_ref":"URF_1577867664541_3572735","comment":%q,
		"settlement_id":"NEW","meta":"","created_at":"2021-01-24T09:18:37.366Z","account_id":73362,"transaction_id":288200108}`, id, amount, status, comment)
}

func refundRequest(again bool) payment.RefundRequest {
	return payment.RefundRequest{RequestID: request, PaymentID: "288200108", Amount: 690000, Currency: "NGN", Again: again}
}

func TestARefundIsAskedForOnce(t *testing.T) {
	t.Parallel()
	const ask = "POST /v3/transactions/288200108/refund"
	s := scripted(t, map[string]string{ask: `{"status":"success","message":"Transaction refund initiated","data":{"id":75923,
		"account_id":73362,"tx_id":288200108,"flw_ref":"URF_1577867664541_3572735","wallet_id":74639,"amount_refunded":6900,
		"status":"completed","destination":"payment_source","meta":{"source":"availablebalance"},"created_at":"2021-01-24T09:18:37.366Z"}}`})
	facts, err := s.Refund(t.Context(), refundRequest(false))
	require.NoError(t, err)
	want := refundOf("75923", "288200108", "succeeded", 690000)
	want.RequestID, want.Unnamed = request, false
	require.Equal(t, []payment.Observation{want}, facts)
	require.Equal(t, []string{ask}, s.asked)
	require.Equal(t, `{"amount":6900.00,"comments":"refund 0199aaaa-0000-7000-8000-00000000000b"}`, s.bodies[0])

	_, err = s.Refund(t.Context(), refundRequest(true))
	require.ErrorIs(t, err, payment.ErrBehind, "it is not there yet, and not asked for again")
	require.Equal(t, []string{ask, refunds}, s.asked)
}

func TestARefundIsLookedFor(t *testing.T) {
	t.Parallel()
	other := uuid.New()
	named := refundOf("5", "288200108", "pending", 690000)
	named.RequestID, named.Unnamed = request, false
	for name, c := range map[string]struct {
		entries []string
		want    []payment.Observation
	}{
		"by its note": {[]string{listed("5", "6900", "processing", "refund "+request.String())}, []payment.Observation{named}},
		"by its amount": {
			[]string{listed("4", "1", "completed-mpgs", ""), listed("5", "6900.00", "completed-momo", "Product out of stock.")},
			[]payment.Observation{refundOf("4", "288200108", "succeeded", 100), refundOf("5", "288200108", "succeeded", 690000)},
		},
		"not by another amount":      {[]string{listed("4", "6899.99", "completed", "")}, nil},
		"not by another's note":      {[]string{listed("4", "6900", "completed", "refund "+other.String())}, nil},
		"not of another transaction": {[]string{strings.Replace(listed("4", "6900", "completed", ""), "288200108", "288200109", 1)}, nil},
		"not in an empty list":       {nil, nil},
	} {
		s := scripted(t, map[string]string{refunds: list("Refunds fetched", 1, c.entries...)})
		facts, err := s.Refund(t.Context(), refundRequest(true))
		require.Equal(t, []string{refunds}, s.asked, name)
		if c.want == nil {
			require.ErrorIs(t, err, payment.ErrBehind, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, facts, name)
	}
}

func TestPointers(t *testing.T) {
	t.Parallel()
	const verify = "GET /v3/transactions/288200108/verify"
	succeeded := paymentOf("288200108", "succeeded", 10000)
	succeeded.Fee = 140
	paid := map[string]string{
		verify: verified("288200108", "100", "successful"), refunds: list("", 1, listed("9", "40", "pending-momo", "")),
		"GET /v3/refunds/9":                `{"status":"success","message":"Refund fetched","data":` + listed("9", "40", "completed-momo", "") + `}`,
		"GET /v3/chargebacks?id=288200108": list("Chargebacks fetched", 1, dispute("1390", "lost")),
		"GET /v3/chargebacks":              list("Chargebacks fetched", 1, dispute("1391", "declined"), dispute("1390", "lost")),
	}
	pending := refundOf("9", "288200108", "pending", 4000)
	done := refundOf("9", "288200108", "succeeded", 4000)
	for name, c := range map[string]struct {
		event, object string
		want          []payment.Observation
	}{
		"a payment":                   {"charge.completed.successful", "288200108", []payment.Observation{succeeded, pending}},
		"a payment that failed first": {"charge.completed.failed", "288200108", []payment.Observation{succeeded, pending}},
		"asked for by ourselves":      {"refund.refused", "288200108", []payment.Observation{succeeded, pending}},
		"heard of":                    {"missing", "288200108", []payment.Observation{succeeded, pending}},
		"a refund":                    {"refund.completed.completed-momo", "refund:9", []payment.Observation{succeeded, done}},
		"a chargeback":                {"chargeback.lost.lost", "chargeback:1390:288200108", append([]payment.Observation{succeeded}, lost("1390")...)},
		"a chargeback without more":   {"chargeback.initiated.initiated", "chargeback:1391", []payment.Observation{succeeded, disputed("1391", "open", "")}},
	} {
		facts, err := scripted(t, paid).Fetch(t.Context(), payment.Pointer{EventType: c.event, ObjectID: c.object})
		require.NoError(t, err, name)
		require.Equal(t, c.want, facts, name)
	}

	for name, c := range map[string]struct {
		event, object string
		answers       map[string]string
	}{
		"a payment":                         {"charge.completed.successful", "288200108", map[string]string{verify: verified("288200108", "100", "pending")}},
		"a failure":                         {"charge.completed.failed", "288200108", map[string]string{verify: verified("288200108", "100", "pending")}},
		"a success that shows as a failure": {"charge.completed.Successful", "288200108", map[string]string{verify: verified("288200108", "100", "failed")}},
		"a refund": {"refund.completed.completed", "refund:9", map[string]string{
			verify: paid[verify], "GET /v3/refunds/9": strings.Replace(paid["GET /v3/refunds/9"], "completed-momo", "processing", 1),
		}},
		"a chargeback": {"chargeback.lost.lost", "chargeback:1390:288200108", map[string]string{
			verify: paid[verify], "GET /v3/chargebacks?id=288200108": list("", 1, dispute("1390", "initiated")),
		}},
		"a chargeback that is not listed": {"chargeback.lost.lost", "chargeback:1390:288200108", map[string]string{
			"GET /v3/chargebacks?id=288200108": list("", 1),
		}},
	} {
		_, err := scripted(t, c.answers).Fetch(t.Context(), payment.Pointer{EventType: c.event, ObjectID: c.object})
		require.ErrorIs(t, err, payment.ErrBehind, name)
	}

	_, err := scripted(t, nil).Fetch(t.Context(), payment.Pointer{EventType: "charge.completed.successful", ObjectID: "7"})
	require.ErrorIs(t, err, payment.ErrNotFound)
	_, err = scripted(t, map[string]string{verify: verified("5", "100", "successful")}).Fetch(t.Context(), payment.Pointer{ObjectID: "288200108"})
	require.ErrorContains(t, err, `asked for the transaction 288200108, got "5"`)
	for _, object := range []string{"", "x", "0", "-1", "1/../2", "refund:", "refund:../1", "chargeback:x:1", "chargeback:1:x", "1?x=y"} {
		s := scripted(t, nil)
		_, err := s.Fetch(t.Context(), payment.Pointer{ObjectID: object})
		require.Error(t, err, object)
		require.Empty(t, s.asked, "nobody is asked about %q", object)
	}
}

// TestWhatIsNotOurs: an account may serve others too, with currencies and
// references that are none of ours. That is told, and is no error.
func TestWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	foreign := strings.NewReplacer(attempt.String(), "MC-1585230950508", "NGN", "BRL").Replace(verified("288200108", "100", "successful"))
	answers := map[string]string{
		"GET /v3/transactions/288200108/verify": foreign,
		"GET /v3/refunds/9":                     `{"status":"success","data":` + listed("9", "40", "completed", "") + `}`,
		"GET /v3/chargebacks?id=288200108":      list("", 1, dispute("1390", "lost")),
	}
	for event, object := range map[string]string{
		"charge.completed.successful": "288200108", "refund.completed.completed": "refund:9", "chargeback.lost.lost": "chargeback:1390:288200108",
	} {
		facts, err := scripted(t, answers).Fetch(t.Context(), payment.Pointer{EventType: event, ObjectID: object})
		require.NoError(t, err)
		require.Len(t, facts, 1)
		require.Equal(t, payment.KindPayment, facts[0].Kind)
		require.Equal(t, uuid.Nil, facts[0].AttemptID)
		require.Positive(t, payment.Rank(facts[0].Kind, facts[0].Status))
	}
}

func dispute(id, status string) string {
	return fmt.Sprintf(`{"id":%s,"amount":100,"flw_ref":"URF_1600800139900_3999635","status":%q,"stage":"new","comment":"This is the payment",
		"meta":{"uploaded_proof":null,"history":[{"initiator":"dispute","date":"2020-09-22T07:01:28.000Z"}]},
		"due_date":"2020-09-23T15:59:59.000Z","settlement_id":"N/A","created_at":"2020-09-22T19:01:28.000Z",
		"transaction_id":288200108,"tx_ref":%q}`, id, status, attempt)
}

func disputed(id, status, outcome string) payment.Observation {
	return payment.Observation{
		Provider: "flutterwave", Account: "main", Kind: payment.KindDispute, DisputeID: id, PaymentID: "288200108",
		Status: status, Outcome: outcome, Amount: 10000, Currency: "NGN",
	}
}

func lost(id string) []payment.Observation {
	money := disputed(id, "withdrawn", "")
	money.Kind, money.MovementID = payment.KindDisputeMoney, "chargeback-"+id+"-lost"
	return []payment.Observation{disputed(id, "closed", "lost"), money}
}

func TestDisputesAreListed(t *testing.T) {
	t.Parallel()
	to := time.Now().UTC().Add(24 * time.Hour).Format("2006-01-02")
	first, second := "GET /v3/chargebacks?from=2026-05-01&to="+to, "GET /v3/chargebacks?from=2026-05-01&page=2&to="+to
	s := scripted(t, map[string]string{
		"GET /v3/transactions/288200108/verify": verified("288200108", "100", "successful"),
		first:                                   list("Chargebacks fetched", 2, dispute("1", "initiated"), dispute("2", "accepted"), dispute("3", "declined")),
		second:                                  list("Chargebacks fetched", 2, dispute("4", "won"), dispute("5", "lost")),
	})
	facts, err := s.Disputes(t.Context(), now)
	require.NoError(t, err)
	paid := paymentOf("288200108", "succeeded", 10000)
	paid.Fee = 140
	want := []payment.Observation{paid, disputed("1", "open", "")}
	want = append(want, lost("2")...)
	want = append(want, disputed("3", "open", ""), disputed("4", "closed", "won"))
	require.Equal(t, append(want, lost("5")...), facts)
	require.Len(t, s.asked, 3, "the payment is asked for once")

	delete(s.answers, second)
	_, err = s.Disputes(t.Context(), now)
	unknown(t, err)

	none, err := scripted(t, nil).Disputes(t.Context(), now)
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestSurprisesAreErrors: what is ours and not understood is neither dropped nor
// believed.
func TestSurprisesAreErrors(t *testing.T) {
	t.Parallel()
	good := verified("288200108", "100", "successful")
	for name, c := range map[string][2]string{
		"an unknown status":      {`"successful"`, `"levitating"`},
		"no status":              {`"successful"`, `""`},
		"an unknown currency":    {`"NGN"`, `"ZZZ"`},
		"no currency":            {`"NGN"`, `""`},
		"half a kobo":            {`"amount":100,`, `"amount":100.005,`},
		"no amount":              {`"amount":100,`, `"amount":null,`},
		"a negative amount":      {`"amount":100,`, `"amount":-100,`},
		"an amount of letters":   {`"amount":100,`, `"amount":"much",`},
		"no id":                  {`"id":288200108`, `"id":null`},
		"an id of zero":          {`"id":288200108`, `"id":0`},
		"an id with an exponent": {`"id":288200108`, `"id":2e8`},
	} {
		_, err := scripted(t, map[string]string{byReference: strings.Replace(good, c[0], c[1], 1)}).FetchCheckout(t.Context(), attempt.String())
		unknown(t, err)
		require.Error(t, err, name)
	}
	for _, odd := range []string{
		listed("9", "40", "lost", ""), listed("9", "40.001", "completed", ""), listed("0", "40", "completed", ""), listed("null", "40", "completed", ""),
	} {
		_, err := scripted(t, map[string]string{
			"GET /v3/transactions/288200108/verify": good, refunds: list("", 1, odd),
		}).Fetch(t.Context(), payment.Pointer{ObjectID: "288200108"})
		unknown(t, err)
	}
	for _, odd := range []string{dispute("1", "reconsidered"), dispute("0", "lost"), strings.Replace(dispute("1", "lost"), `"transaction_id":288200108`, `"transaction_id":null`, 1)} {
		_, err := scripted(t, map[string]string{
			"GET /v3/transactions/288200108/verify": good, "GET /v3/chargebacks": list("", 1, odd),
		}).Fetch(t.Context(), payment.Pointer{ObjectID: "chargeback:1"})
		require.Error(t, err)
	}
}
