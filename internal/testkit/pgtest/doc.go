// Package pgtest gives every test a PostgreSQL database of its own, with the
// schema in place, in some thirty milliseconds.
//
// # Owns
//
// On the server of the tests, the databases tpl_* (one per schema, named by the
// hash of its migrations), tmp_* (a template in the making), test_* (one per
// running test) and kept_* (of tests that failed).
//
// The server is the one that PROOFROOM_TEST_DATABASE_URL names (a superuser's
// URL), else a private one that this test process shares. Command withpg starts
// one for many test processes, or to keep what failed tests leave.
//
// # Invariants
//
//   - A template appears under its name only when it is complete.
//   - A private server ends, and its folder disappears, with the process that
//     asked for it, however that ends: a child of it holds the server while a
//     pipe from the process is open. The child is this same binary, told apart
//     by an environment variable before main or any test runs.
//   - What a failed test leaves is kept, the ten newest; what a killed test run
//     leaves is dropped two hours later.
//
// # Concurrency
//
// Everything may be called from parallel tests and from many processes on one
// server; an advisory lock lets one of them build a template or sweep.
package pgtest
