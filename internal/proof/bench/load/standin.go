package load

import (
	"crypto/subtle"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const token = "A21AABenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBenchBench"

// StandIn answers what the server asks about payments of PayPal and Flutterwave,
// and serves the certificate of a seal. base is where it is reached.
func StandIn(dir, base string) (http.Handler, error) {
	chain, err := os.ReadFile(filepath.Join(dir, chainFile))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /paypal/v1/notifications/certs/"+certFile, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(chain)
	})
	mux.HandleFunc("POST /paypal/v1/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); !same(user, PayPalClient) || !same(password, PayPalSecret) {
			say(w, http.StatusUnauthorized, []byte(`{"error":"invalid_client","error_description":"Client Authentication failed"}`))
			return
		}
		say(w, http.StatusOK, []byte(`{"scope":"https://uri.paypal.com/services/payments/payment","access_token":"`+token+
			`","token_type":"Bearer","app_id":"APP-80W284485P519543T","expires_in":32400,"nonce":"bench"}`))
	})
	mux.HandleFunc("GET /paypal/v2/payments/captures/{id}", func(w http.ResponseWriter, r *http.Request) {
		s, n, ok := orderOf(r.PathValue("id"))
		switch {
		case !same(bearer(r), token):
			say(w, http.StatusUnauthorized, []byte(`{"error":"invalid_token","error_description":"Token signature verification failed"}`))
		case !ok:
			say(w, http.StatusNotFound, []byte(`{"name":"RESOURCE_NOT_FOUND","message":"The specified resource does not exist.","debug_id":"bench"}`))
		default:
			say(w, http.StatusOK, paypalCapture.fill(s.words(n, began, base)))
		}
	})
	flutterwave := func(answer func(r *http.Request) (int, []byte)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !same(bearer(r), FlutterwaveKey) {
				say(w, http.StatusUnauthorized, []byte(`{"status":"error","message":"Invalid authorization key","data":null}`))
				return
			}
			status, body := answer(r)
			say(w, status, body)
		}
	}
	mux.HandleFunc("GET /flutterwave/v3/transactions/{id}/verify", flutterwave(func(r *http.Request) (int, []byte) {
		s, n, ok := orderOf(r.PathValue("id"))
		if !ok {
			return http.StatusBadRequest, []byte(`{"status":"error","message":"No transaction was found for this id","data":null}`)
		}
		return http.StatusOK, flutterwaveTransaction.fill(s.words(n, began, base))
	}))
	none := flutterwave(func(*http.Request) (int, []byte) { return http.StatusOK, flutterwaveNone.fill(nil) })
	mux.HandleFunc("GET /flutterwave/v3/refunds", none)
	mux.HandleFunc("GET /flutterwave/v3/chargebacks", none)
	return mux, nil
}

func say(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
