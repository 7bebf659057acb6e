package account

import (
	"slices"

	"github.com/google/uuid"

	"proofroom/internal/base/problem"
)

// Role is what an account may do.
type Role string

// The roles. Every account is an attendee.
const (
	Attendee Role = "attendee" // buys and downloads
	Creator  Role = "creator"  // puts up events and photographs
	Operator Role = "operator" // runs the marketplace
)

// Kind is what stands behind an actor. The zero kind is nobody.
type Kind string

// The kinds of actors.
const (
	KindAccount Kind = "account"
	KindGuest   Kind = "guest"
)

// Actor is who makes a request. The zero Actor is a stranger.
type Actor struct {
	Kind      Kind
	ID        uuid.UUID // the buyer's id: of the account or of the guest session
	AccountID uuid.UUID // zero for a guest
	Roles     []Role
	Name      string
	Email     string
	// SessionID is set when a browser session (not an API token) stands for the
	// account.
	SessionID uuid.UUID
}

// Has reports whether the actor is an account with the role.
func (a Actor) Has(role Role) bool {
	return a.Kind == KindAccount && slices.Contains(a.Roles, role)
}

// Known reports whether the actor is somebody: an account or a guest.
func (a Actor) Known() bool { return a.Kind != "" }

// Credentials are what a request carries. Bearer comes first: if it is there,
// nothing else counts.
type Credentials struct {
	Bearer  string // "prf_..." (API token) or "gst_..." (guest session)
	Session string // the session cookie
	Guest   string // the guest cookie
}

// Prefixes of secrets, so that people and scanners know what they look at.
const (
	TokenPrefix   = "prf_"
	GuestPrefix   = "gst_"
	sessionPrefix = "ses_"
	setupPrefix   = "set_"
)

// The problems of this package.
var (
	ErrInvalid = problem.Define(problem.Unprocessable, "account.invalid", "Something in the form is wrong",
		"Nothing was saved. Correct the fields named here and send it again.")
	ErrEmailTaken = problem.Define(problem.Conflict, "account.email_taken", "This e-mail address has an account",
		"No account was made. Sign in with this address, or use another one.")
	ErrWrongCredentials = problem.Define(problem.Unauthenticated, "account.wrong_credentials", "Not signed in",
		"The e-mail address or the password is wrong.")
	ErrBearer = problem.Define(problem.Unauthenticated, "account.bearer", "The token is not valid",
		"The bearer token is unknown, revoked or expired. Nothing was done. Make a new token, or send the request without one.")
	ErrBusy = problem.Define(problem.Unavailable, "account.busy", "Too many sign-ins at once",
		"The server is checking other passwords. Nothing was done; try again in a few seconds.")
	ErrNotFound = problem.Define(problem.NotFound, "account.not_found", "Not found",
		"There is no such thing among yours. It may have been revoked already.")
	ErrSetupLink = problem.Define(problem.Gone, "account.setup_link", "This link does not work any more",
		"It was used, has expired, or an operator exists already. If nobody can sign in as operator, restart the server: it prints a new link.")
	ErrLinkUsed = problem.Define(problem.Gone, "account.link_used", "This link was used already",
		"A link from a mail works once. If it was you, you are signed in where you used it; else ask for a new link.")
	ErrLinkExpired = problem.Define(problem.Gone, "account.link_expired", "This link is too old",
		"Links in mail work for a short time, so that an old mail opens nothing. Nothing was done; ask for a new link.")
	ErrLinkUnknown = problem.Define(problem.NotFound, "account.link_unknown", "This link is not one of ours",
		"Perhaps a part of it was lost on its way. Copy it whole from the mail, or ask for a new link. Nothing was done.")
	ErrLinkOther = problem.Define(problem.Forbidden, "account.link_other", "This link is for another account",
		"An account asked for what was bought with this address. Sign in to that account in this browser and open the link again, or leave it alone. Nothing was done.")
	ErrClosed = problem.Define(problem.Gone, "account.closed", "The account of this address is closed",
		"Nothing was done. Ask the operator if it should be opened again.")
)
