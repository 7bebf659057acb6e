// Package webui is the pages for buying and downloading, and those on which
// operators look at what waits for a person: plain HTML made on the server, usable
// without script. It shows what the services say and sends forms to them; it
// decides nothing about money or access.
//
// # Owns
//
// Pages, one style sheet, and the words for states and prices.
//
// # Invariants
//
//   - A GET changes nothing that anybody owns. It may start a guest session (the
//     review page does, so that a form that is sent twice comes from one buyer)
//     and ask a provider about an order that still waits.
//   - The checkout form carries its idempotency key, the selection and the total
//     that was shown, so that sending it again orders nothing twice and a changed
//     price is refused, not charged.
//   - Errors come from the same problems as the API's and show the same texts.
//   - Pictures here are watermarked derivatives, each checked against the event's
//     openness on every request. Originals come from the address that
//     [Deps.Original] names, which checks the grant.
//   - What providers sent is shown to operators only, as text. What changes
//     something is previewed first, and pressed twice it works once.
//   - The content security policy allows no script and nothing from elsewhere.
//
// # Concurrency
//
// The handler may be used from anywhere; it keeps no state of its own.
package webui

//go:generate go tool -modfile=../../../tools/go.mod templ generate
