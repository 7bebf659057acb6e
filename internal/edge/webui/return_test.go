package webui_test

import (
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/till"
)

// Providers send browsers back with what anybody could have written. None of it
// is believed, and none of it is shown; the provider is asked at once.
func TestReturnIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"agreed", "keyless"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agreed, keyless := till.NewAgreed("agreed"), till.NewKeyless("keyless")
			w := start(t, agreed, keyless)
			b := w.browser()
			f := b.review(w.photos[0]).form()
			f.Set("provider", name)
			f.Set("email", "guest@example.com")
			b.post("/e/"+w.event.Slug+"/checkout", f).want(t, 303)
			var orderID, attempt uuid.UUID
			var ref string
			require.NoError(t, w.db.Owner.QueryRow(t.Context(), "SELECT order_id, id, provider_ref FROM attempts").Scan(&orderID, &attempt, &ref))
			brought := url.Values{
				"from": {"paid"}, "status": {"successful"}, "tx_ref": {attempt.String()}, "transaction_id": {"4711"},
				"token": {ref}, "PayerID": {"PAYER-X"},
			}
			back := "/o/" + orderID.String() + "?" + brought.Encode()
			b.get(back).want(t, 200, "Waiting for payment").not(t, "4711", "PAYER-X", "successful", "/originals/")
			require.Equal(t, 1, agreed.Calls("fetch")+keyless.Calls("fetch"), "it is asked at once")
			require.Zero(t, w.count("SELECT count(*) FROM payments"))

			if name == "agreed" {
				agreed.Set(ref, "approved")
				b.get(back).want(t, 200, "Payment on its way", "We mail you at guest@example.com").not(t, "Pay €5.00", "/originals/")
				require.Equal(t, "/o/"+orderID.String(), b.post("/o/"+orderID.String()+"/check", url.Values{}).want(t, 303).header.Get("Location"))
				return
			}
			keyless.Set(ref, "paid")
			b.get(back).want(t, 200, "Paid", "/originals/"+w.photos[0].String())
		})
	}
}
