package load

import (
	"crypto/md5" //nolint:gosec // it scatters ids, and keeps nothing secret
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// The providers that orders are paid with.
const (
	Stripe      = "stripe"
	PayPal      = "paypal"
	Flutterwave = "flutterwave"
	// Account is our name of each provider's account.
	Account = "main"
)

// providers in the order in which a mixed set takes turns.
var providers = []string{Stripe, PayPal, Flutterwave}

// Creators is how many creators the orders of a set are spread over. One more,
// the last, has the orders of hot sets.
const Creators = 2000

// Price is what a line costs, in cents.
const Price = 500

// Kind says what an id is of.
type Kind int

// The kinds of rows whose ids follow from a number; see the SQL function bench.id.
const (
	KindOrder Kind = iota + 1
	KindAttempt
	KindBuyer
	KindCreator
	KindEvent
	KindPhoto
)

// ID is the id of the nth row of a kind in a batch: a UUID of version 7, as ours
// are, whose time grows with the number by a millisecond.
func ID(k Kind, batch, n int) uuid.UUID {
	const epoch = 0x019900000000 // in the year 2025
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(epoch+batch<<24+n)<<16|7<<12|uint64(k))
	binary.BigEndian.PutUint64(u[8:], 1<<63|uint64(batch)<<48|uint64(n))
	return u
}

// Set is a batch of orders that wait for their money.
type Set struct {
	Batch int  `json:"batch"` // 1 to 1000; 0 has the shop
	First int  `json:"first"` // number of the first order
	Count int  `json:"count"`
	Mixed bool `json:"mixed"` // a third from each provider; else Stripe alone
	Hot   bool `json:"hot"`   // all of one creator
}

// Numbers are those of all orders of the set.
func (s Set) Numbers() []int {
	out := make([]int, s.Count)
	for i := range out {
		out[i] = s.First + i
	}
	return out
}

// Provider is who the nth order is paid with.
func (s Set) Provider(n int) string {
	if !s.Mixed {
		return Stripe
	}
	return providers[n%len(providers)]
}

// Gross is the price of the nth order of any set, of 1 to 5 lines, in cents.
func Gross(n int) int64 { return int64(1+n%5) * Price }

// scattered is text that looks random, as ids of providers do: so many hex digits.
func scattered(what string, batch, n, digits int) string {
	sum := md5.Sum([]byte(what + ":" + strconv.Itoa(batch) + ":" + strconv.Itoa(n))) //nolint:gosec // see the import
	return strings.Repeat(hex.EncodeToString(sum[:]), 2)[:digits]
}

// PayPal's ids of captures are letters and digits; ours are a number, multiplied
// so that they look random, which the stand-in can take back.
const (
	spread  = 0x9E3779B97F4A7C15
	gather  = 0xF1DE83E19937733D // its inverse modulo 2^64
	perSet  = 1_000_000_000
	firstID = 288_200_000_000 // of Flutterwave's transactions
)

// EventID is the provider's id of the event that says that the nth order is
// paid; Flutterwave's have none.
func (s Set) EventID(n int) string {
	if s.Provider(n) == PayPal {
		x := strings.ToUpper(scattered("wh", s.Batch, n, 34))
		return "WH-" + x[:17] + "-" + x[17:]
	}
	return "evt_" + scattered("evt", s.Batch, n, 24)
}

// PaymentID is the provider's id of the payment.
func (s Set) PaymentID(n int) string {
	switch s.Provider(n) {
	case PayPal:
		number := uint64(s.Batch)<<32 | uint64(n)
		return fmt.Sprintf("P%016X", number*spread)
	case Flutterwave:
		return strconv.Itoa(firstID + s.Batch*perSet + n)
	}
	return "pi_" + scattered("pi", s.Batch, n, 24)
}

// Object is what the inbox calls the object of the event of the nth order.
func (s Set) Object(n int) string {
	if s.Provider(n) == Stripe {
		return s.Ref(n)
	}
	return s.PaymentID(n)
}

// Ref is the provider's id of the hosted page.
func (s Set) Ref(n int) string {
	switch s.Provider(n) {
	case PayPal:
		return strings.ToUpper(scattered("page", s.Batch, n, 17))
	case Flutterwave:
		return ID(KindAttempt, s.Batch, n).String()
	}
	return "cs_test_" + scattered("page", s.Batch, n, 58)
}

// orderOf finds the order of a payment of PayPal's or Flutterwave's.
func orderOf(paymentID string) (s Set, n int, ok bool) {
	if hexes, found := strings.CutPrefix(paymentID, "P"); found {
		x, err := strconv.ParseUint(hexes, 16, 64)
		x *= gather
		s, n = Set{Batch: int(x >> 32), Mixed: true}, int(x&0xffffffff) //nolint:gosec // a batch is small
		return s, n, err == nil && s.Batch < 1<<16 && s.Provider(n) == PayPal
	}
	x, err := strconv.Atoi(paymentID)
	x -= firstID
	s, n = Set{Batch: x / perSet, Mixed: true}, x%perSet
	return s, n, err == nil && x >= 0 && s.Provider(n) == Flutterwave
}

// Email is where the receipt of the nth order goes.
func (s Set) Email(n int) string { return fmt.Sprintf("b%d.%d@example.com", s.Batch, n/OrdersOfBuyer) }

// OrdersOfBuyer is how many orders in a row are one buyer's.
const OrdersOfBuyer = 4
