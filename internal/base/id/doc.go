// Package id makes the identifiers of rows: UUIDs of version 7, which grow with
// time, so that a unique index is filled at its right edge and stays in memory.
// Nothing may read an order of events out of them: clocks disagree.
//
// # Concurrency
//
// All functions may be called from anywhere.
package id
