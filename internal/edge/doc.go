// Package edge is what the two surfaces share, the JSON API (httpapi) and the
// pages (webui): who is asking, how an error is told, and which headers every
// answer has. So there is one authorisation path and one mapping of problems.
//
// # Owns
//
// The mapping of errors to RFC 9457 problem documents, the actor in a request's
// context, the names and attributes of cookies, the refusal of cross-origin
// writes, and the form of idempotency keys.
//
// # Invariants
//
//   - A text that a client sees comes from a problem.Error or from this package,
//     never from another error. The whole chain is logged once, here.
//   - An error of the database that says nothing about the request is 503 with
//     Retry-After, never 500 and never an empty success.
//   - A bearer token that is not valid is 401 on every route, also on public
//     ones. A cookie that is not valid is no cookie.
//   - A request without a bearer token that could change something is refused
//     if a browser says that another origin sent it.
//
// # Concurrency
//
// Values are built once and then only read; everything may be used from
// anywhere.
package edge
