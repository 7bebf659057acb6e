package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/outbox/internal/db"
)

// Kind is what a message is about.
type Kind string

// The kinds of messages.
const (
	Receipt      Kind = "receipt"       // the order is paid
	ReceiptAgain Kind = "receipt_again" // its buyer asked for the receipt once more
	MagicLink    Kind = "magic_link"    // somebody wants to sign in with this address
	FindPurchase Kind = "find_purchase" // somebody looks for what was bought with it
	Claim        Kind = "claim"         // an account asks for what was bought with it
)

// State is how far a message is.
type State string

// The states of a message.
const (
	Unaddressed State = "unaddressed" // there is nobody to send it to
	Queued      State = "queued"      // to be sent
	InSending   State = "sending"     // somebody sends it, as long as the lease lasts
	Sent        State = "sent"        // the mail server took it
	Failed      State = "failed"      // it was refused for good, or too often
	Unknown     State = "unknown"     // the reply was lost: repeated once, then left so
)

// Message is one message to one person.
type Message struct {
	ID        uuid.UUID
	OrderID   uuid.UUID  // of receipts; else zero
	AccountID *uuid.UUID // of claims: who asks
	Kind      Kind
	Recipient string // may be empty: then there is nobody to send it to
	MessageID string
	State     State
	Copies    int    // that may have arrived
	Tries     int    // sends begun
	Note      string // what the mail server said last
	InboxID   uuid.UUID
	CreatedAt time.Time
}

// Store writes messages. Host is the right side of their Message-IDs.
type Store struct {
	Host string
	q    db.Queries
	off  map[*guard.Guard]bool // what a proof took away
}

func (s Store) on(g *guard.Guard) bool { return g.On() && !s.off[g] }

// ErrMessageDiffers says that a message could not be promised because its
// Message-ID belongs to another one. A person decides.
var ErrMessageDiffers = errors.New("outbox: the Message-ID stands for another message")

// ErrNotFound says that there is no such message.
var ErrNotFound = errors.New("outbox: no such message")

// MessagesTx promises receipts. One that was promised before, for the same
// order, stays as it is: its recipient, and its Message-ID even if the host has
// another name by now. The statements of ahead go first, in the same round trip.
func (s Store) MessagesTx(ctx context.Context, tx pgx.Tx, messages []Message, ahead ...pg.Step) error {
	if len(messages) == 0 {
		return pg.Pipeline(ctx, tx, ahead...)
	}
	type key struct {
		order uuid.UUID
		kind  string
	}
	var p db.InsertMessagesParams
	stands := map[key]bool{}
	for _, m := range messages {
		stands[key{m.OrderID, string(m.Kind)}] = false
		p.Ids, p.OrderIds, p.Kinds = append(p.Ids, id.New()), append(p.OrderIds, m.OrderID), append(p.Kinds, string(m.Kind))
		p.Recipients, p.InboxIds = append(p.Recipients, m.Recipient), append(p.InboxIds, m.InboxID)
		p.MessageIds = append(p.MessageIds, s.messageID(m.Kind, m.OrderID))
	}
	var inserted int64
	err := pg.Pipeline(ctx, tx, append(ahead, func(ctx context.Context, q pg.DBTX) (err error) {
		if inserted, err = s.q.InsertMessages(ctx, q, p); err != nil {
			return fmt.Errorf("write messages: %w", err)
		}
		return nil
	})...)
	if err != nil || inserted == int64(len(stands)) {
		return err
	}
	rows, err := s.q.MessagesOfOrders(ctx, tx, p.OrderIds)
	if err != nil {
		return fmt.Errorf("read messages back: %w", err)
	}
	for _, r := range rows {
		if r.OrderID != nil {
			stands[key{*r.OrderID, r.Kind}] = true
		}
	}
	for _, m := range messages {
		if !stands[key{m.OrderID, string(m.Kind)}] {
			return fmt.Errorf("%w: %s of order %s", ErrMessageDiffers, m.Kind, m.OrderID)
		}
	}
	return nil
}

// Queue promises a message that somebody asked for: any kind but Receipt. It is
// one statement, whatever is known about the recipient, so that nobody learns
// from its cost who has an account.
func (s Store) Queue(ctx context.Context, q pg.DBTX, m Message) (uuid.UUID, error) {
	m.ID = id.New()
	p := db.InsertMessageParams{
		ID: m.ID, AccountID: m.AccountID, Kind: string(m.Kind), Recipient: m.Recipient, MessageID: s.messageID(m.Kind, m.ID),
	}
	if m.OrderID != uuid.Nil {
		p.OrderID = &m.OrderID
	}
	if err := s.q.InsertMessage(ctx, q, p); err != nil {
		return uuid.Nil, fmt.Errorf("queue a message: %w", err)
	}
	return m.ID, nil
}

// messageID is made from what the message is about alone, so that one sent
// again is the same message to whoever receives it.
func (s Store) messageID(kind Kind, about uuid.UUID) string {
	host := s.Host
	if host == "" {
		host = "proofroom.invalid"
	}
	return fmt.Sprintf("<%s.%s@%s>", kind, about, host)
}

// Of lists an order's messages in the order in which they were promised.
func (s Store) Of(ctx context.Context, q pg.DBTX, orderID uuid.UUID) ([]Message, error) {
	rows, err := s.q.MessagesOf(ctx, q, &orderID)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	out := make([]Message, len(rows))
	for i, r := range rows {
		out[i] = fromRow(db.GetMessageRow(r))
	}
	return out, nil
}

// Get reads one message, or says ErrNotFound.
func (s Store) Get(ctx context.Context, q pg.DBTX, messageID uuid.UUID) (Message, error) {
	r, err := s.q.GetMessage(ctx, q, messageID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Message{}, ErrNotFound
	}
	if err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	return fromRow(r), nil
}

func fromRow(r db.GetMessageRow) Message {
	m := Message{
		ID: r.ID, AccountID: r.AccountID, Kind: Kind(r.Kind), Recipient: r.Recipient, MessageID: r.MessageID, State: State(r.State),
		Copies: int(r.Copies), Tries: int(r.Tries), Note: r.Note, CreatedAt: r.CreatedAt,
	}
	if r.OrderID != nil {
		m.OrderID = *r.OrderID
	}
	if r.InboxID != nil {
		m.InboxID = *r.InboxID
	}
	return m
}
