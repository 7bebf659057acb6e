// Package paypal is the stand-in of PayPal: OAuth, Orders v2, Payments v2,
// disputes and signed webhooks in PayPal's own wire form, under the path /paypal,
// on the machine of package host.
//
// # Owns
//
// PayPal's objects, its access tokens, its memory of PayPal-Request-Id, and the
// certificates that its webhooks are signed with. The certificates are issued by
// an authority that each twin makes for itself.
//
// # Invariants
//
//   - A payer only approves; money moves when the order is captured, once.
//   - custom_id and invoice_id are on the order and on its capture. A refund has
//     its own, and a dispute has neither.
//   - A repeated PayPal-Request-Id is answered with the object as it is now, not as
//     it was. Errors are not remembered.
//   - An order that nobody approved, and an approval that nobody captured, is void
//     after three hours.
//
// # Concurrency
//
// The host's lock guards all of it but the certificates, which have a lock of
// their own: signing is slow.
package paypal
