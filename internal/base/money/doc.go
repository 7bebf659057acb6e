// Package money is amounts of money: whole numbers of a currency's smallest
// unit, never fractions of it and never floating point.
//
// # Owns
//
// How many digits a currency has (ISO 4217), how amounts are read and written,
// and how an amount is divided between two parties so that nothing is lost.
//
// # Invariants
//
//   - Arithmetic that does not fit 64 bits or that mixes currencies is an
//     error, never a wrong number.
//   - A division names who gets the remainder: [Share] rounds down, and what
//     [Split] rounds off is the platform's.
//
// # Concurrency
//
// Amounts are values; all functions may be called from anywhere.
package money
