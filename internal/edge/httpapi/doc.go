// Package httpapi is the JSON API under /api/v1, described by itself: OpenAPI
// 3.1 at /api/v1/openapi.json, readable at /api/v1/docs.
//
// # Owns
//
// The shape of requests and answers of the API. Each resource has its own file
// with one function registerXxx; what they call is in [Deps].
//
// # Invariants
//
//   - Every operation declares who may call it (access), and that is checked
//     before its input is read. Whether the caller may see the thing that it
//     names is for the service behind it, which answers "not found" for both.
//   - Every error is a problem document (application/problem+json) with a stable
//     code: 400 for what cannot be read (JSON, types, ids, cursors), 422 for what
//     can be read but is wrong, 413 and 415 for bodies too large or of another
//     type, 503 with Retry-After while the database is away.
//   - Unknown fields and query parameters are refused, so that a misspelled one
//     is not silently ignored.
//   - A body is at most 1 MiB unless its operation says otherwise.
//   - Idempotency-Key is required where repeating a request would sell something
//     or give money back twice: on the POST of checkouts and of refunds. Sign-ups
//     meet at the e-mail address; a session, token or guest session made twice is
//     only one more, which can be revoked. A decision about an order repeated
//     finds nothing left to decide; an event is tried anew under the number of
//     tries that was seen, so that the second request is refused.
//   - Lists come in pages with an opaque cursor ([Page]).
//
// # Concurrency
//
// The handler may be used from anywhere; it keeps no state of its own.
package httpapi
