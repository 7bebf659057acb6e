package verify

import "context"

// Severity says how bad it is when a scenario fails.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical" // money, access or a private match can be wrong
	High     Severity = "high"     // an outsider can cause cost or noise, or the truth is hidden
	Medium   Severity = "medium"
)

// Build is which binary a scenario needs.
type Build string

// The builds.
const (
	Release Build = "release"
	Proof   Build = "proof" // has fault points, guard switches and clock offsets
)

// Database is which PostgreSQL a world gets.
type Database string

// The databases.
const (
	Shared  Database = ""        // the run's, as fast as it can be: nobody crashes it
	Durable Database = "durable" // one of its own, whose commits last as they do in production
	Cramped Database = "cramped" // a durable one on a small disk of its own, where the files are as well
)

// Scenario is one way of breaking things. It is a value; Run does it.
type Scenario struct {
	ID       string
	Title    string
	Severity Severity
	Rows     []string // of the audit that it covers
	Build    Build
	// Database is the PostgreSQL that it needs.
	Database Database
	// Needs names the pressure that must be above zero for a verdict.
	Needs []string
	// Rounds is how often it repeats itself, if it does: in a quick run, and in
	// a full one.
	Quick, Full int
	// Bare scenarios have the server do nothing when guards are taken away.
	Bare bool
	// Run breaks the world and checks what clients see. The invariants and the
	// provider's ledger are judged after it, when everything has come to rest.
	Run func(ctx context.Context, w *World) error
}

// Verdict is what came of a scenario.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "PASS"
	Fail         Verdict = "FAIL"
	Unexercised  Verdict = "NOT EXERCISED" // it did not press, so it proves nothing
	Void         Verdict = "VOID"          // a guard was taken away and nothing went red
	reproduction         = "proofroom verify run %s --seed %d"
)
