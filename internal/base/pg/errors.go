package pg

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"proofroom/internal/base/guard"
)

var guardTransient = guard.Define("pg.transient", guard.Check, "an event is charged with a lock that others held, and given up after some")

// IsUnique reports whether err is a violation of the named unique constraint or
// index. Names are the generated constants.
func IsUnique(err error, name string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23505" && pgErr.ConstraintName == name
}

// IsCheck reports whether err is a violation of the named check constraint.
func IsCheck(err error, name string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23514" && pgErr.ConstraintName == name
}

// IsTransient reports whether err says nothing about the data: a deadlock, a
// lock or statement timeout, a lost connection, a server going down. No attempt
// is counted for it and no poison is searched.
func IsTransient(err error) bool {
	if err == nil {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		if !guardTransient.On() {
			return false
		}
		switch pgErr.Code {
		case "40001", "40P01", "55P03", "57014":
			return true
		}
		return strings.HasPrefix(pgErr.Code, "08") || strings.HasPrefix(pgErr.Code, "57") || strings.HasPrefix(pgErr.Code, "53")
	}
	return IsUnreachable(err)
}

// IsUnreachable reports whether err means that the server could not be talked
// to, so that nothing is known of it.
func IsUnreachable(err error) bool {
	var connect *pgconn.ConnectError
	// Not net.Error: every errno is one, also that of a disk that is full.
	var network *net.OpError
	return errors.Is(err, ErrCommitUnknown) || errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) ||
		pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		(err != nil && (strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed")))
}

// IsUnequal reports whether must_equal raised: a write in a pipeline reached other
// rows than it meant to, and the transaction was undone.
func IsUnequal(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "PR001"
}
