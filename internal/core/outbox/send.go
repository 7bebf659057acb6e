package outbox

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/outbox/internal/db"
)

var (
	guardLease = guard.Define("outbox.lease", guard.Lease,
		"a message that one instance is sending is sent by another as well")
	guardTerm = guard.Define("outbox.term", guard.Lease,
		"who lost the lease of a message records an end over that of its successor, and it is sent again")
	guardLost = guard.Define("outbox.lost", guard.Claim,
		"a lost reply is taken for a refusal, and the message is sent again and again")
)

// Sending is a message in the hands of one sender, until its lease ends.
type Sending struct {
	Message

	Age  time.Duration // since it was promised
	term int32
}

// Claim takes up to limit messages that are due and gives each to this caller
// alone for the length of the lease. A message whose sender disappeared is due
// again when the lease ends, as one whose reply was lost: if it may have been
// sent twice by then, it is unknown for good.
func (s Store) Claim(ctx context.Context, q pg.DBTX, limit int, lease time.Duration) ([]Sending, error) {
	if _, err := s.q.GiveUp(ctx, q); err != nil {
		return nil, fmt.Errorf("give up messages: %w", err)
	}
	rows, err := s.q.Claim(ctx, q, db.ClaimParams{
		LeaseSeconds: lease.Seconds(), Leased: s.on(guardLease), Max: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	out := make([]Sending, len(rows))
	for i, r := range rows {
		out[i] = Sending{
			Message: Message{
				ID: r.ID, AccountID: r.AccountID, Kind: Kind(r.Kind), Recipient: r.Recipient, MessageID: r.MessageID,
				State: InSending, Copies: int(r.Copies), Tries: int(r.Tries), CreatedAt: r.CreatedAt,
			},
			Age: time.Duration(r.Age * float64(time.Second)), term: r.Term,
		}
		if r.OrderID != nil {
			out[i].OrderID = *r.OrderID
		}
	}
	return out, nil
}

// Sent records that the mail server took the message. recorded is false when
// the lease went to another sender meanwhile.
func (s Store) Sent(ctx context.Context, q pg.DBTX, m Sending) (recorded bool, err error) {
	return s.record(ctx, q, m, db.RecordParams{State: string(Sent)})
}

// Failed records that the message was refused and will not be sent again.
func (s Store) Failed(ctx context.Context, q pg.DBTX, m Sending, note string) (recorded bool, err error) {
	return s.record(ctx, q, m, db.RecordParams{State: string(Failed), Undelivered: true, Note: note})
}

// Later records that the message was surely not taken, and is due again after
// the wait.
func (s Store) Later(ctx context.Context, q pg.DBTX, m Sending, wait time.Duration, note string) (recorded bool, err error) {
	return s.record(ctx, q, m, db.RecordParams{State: string(Queued), Undelivered: true, WaitSeconds: wait.Seconds(), Note: note})
}

// Lost records that nobody knows whether the message was taken. It is due once
// more after the wait, unless this was its second copy.
func (s Store) Lost(ctx context.Context, q pg.DBTX, m Sending, wait time.Duration, note string) (recorded bool, err error) {
	if !s.on(guardLost) {
		return s.Later(ctx, q, m, wait, note)
	}
	return s.record(ctx, q, m, db.RecordParams{State: string(Unknown), WaitSeconds: wait.Seconds(), Note: note})
}

func (s Store) record(ctx context.Context, q pg.DBTX, m Sending, p db.RecordParams) (bool, error) {
	p.ID, p.Term, p.Note, p.Fenced = m.ID, m.term, clip(p.Note), s.on(guardTerm)
	n, err := s.q.Record(ctx, q, p)
	if err != nil {
		return false, fmt.Errorf("record a send: %w", err)
	}
	return n == 1, nil
}

// Waiting counts the messages that are still to be sent.
func (s Store) Waiting(ctx context.Context, q pg.DBTX) (int, error) {
	n, err := s.q.Waiting(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return int(n), nil
}

// clip keeps what a stranger's server said short and printable.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > 500 {
		return string(runes[:500])
	}
	return s
}
