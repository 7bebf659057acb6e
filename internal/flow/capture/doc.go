// Package capture takes the money of payers who have agreed to pay, at providers
// that wait for a call of ours.
//
// # Owns
//
// No table: what the provider answers goes through the inbox like everything
// that a provider says.
//
// # Invariants
//
//   - Money is taken only while the order waits for it: the attempt is live, its
//     time has not ended, and nothing was paid, checked under the order's lock.
//   - The attempt's id is the key of the call, so that an attempt is captured
//     once, however often it is asked for.
//   - A lost reply is unknown: the call is repeated with the same key.
//
// # Concurrency
//
// Nothing is locked during the call. Whoever closes an order at the same moment
// may come between the check and the call; the money is late then and is treated
// as such.
package capture
