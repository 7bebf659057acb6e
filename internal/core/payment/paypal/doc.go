// Package paypal is a payment.Provider and a payment.Capturer over PayPal's
// Orders v2: the payer agrees on PayPal's page, and a call of ours takes the
// money.
//
// # Owns
//
// No table. It translates: our requests into PayPal's JSON, PayPal's orders,
// captures, refunds and disputes into payment.Observation, and amounts between
// PayPal's decimal strings and ISO 4217 minor units.
//
// # Invariants
//
//   - Every call that changes something carries the id of our own attempt or
//     refund request, as its PayPal-Request-Id and as the object's invoice_id.
//   - A request is a pure function of its input, so that repeating it under the
//     same id sends the same bytes.
//   - Nothing is captured before the page's own id of ours, amount and currency
//     are those that we ask for; what counts is a capture's status, never its
//     order's.
//   - A webhook is a reason to ask, never a fact: its signature covers a CRC32 of
//     the body, for which anyone can make another body.
//   - A webhook is verified over its raw bytes, by a certificate that comes from
//     PayPal's own host and chains to a trusted root. No address in a request
//     makes us connect anywhere else.
//   - Live credentials are sent to PayPal's own address only.
//
// # Concurrency
//
// A Client is safe for concurrent use: the access token and the certificates
// are shared, and those who want the same one at the same time wait for one
// call. Network methods refuse a context that is inside a database transaction.
package paypal
