// Package obs is what a running process tells about itself: structured logs
// that carry the request's id, metrics, and the outermost HTTP middleware.
//
// # Owns
//
// Request ids in contexts, the format of log lines, and the HTTP duration
// histogram. Other packages define their own metrics; whoever wires the process
// registers them explicitly with the registry that [NewRegistry] made.
//
// # Invariants
//
//   - Every HTTP answer names its request in the header X-Request-Id, and every
//     log line written with the request's context carries the same id.
//   - An id from outside is taken over only from a trusted proxy and only if it
//     is short plain ASCII, so that nobody can write into the log.
//   - Metric labels come from route patterns and fixed lists, never from paths:
//     the number of series is bounded.
//   - Query strings, headers and bodies are not logged; they may hold secrets. A
//     path is logged unless its route has a parameter named token.
//
// # Concurrency
//
// Everything here may be used from anywhere.
package obs
