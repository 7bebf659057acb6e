package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/outbox/internal/db"
)

// Kind is what a message is about.
type Kind string

// The kinds of messages.
const (
	Receipt Kind = "receipt" // the order is paid
)

// Message is one message to one person.
type Message struct {
	ID        uuid.UUID
	OrderID   uuid.UUID
	Kind      Kind
	Recipient string // may be empty: then there is nobody to send it to
	MessageID string
	State     string
	InboxID   uuid.UUID // the observation that made it true
	CreatedAt time.Time
}

// Store writes messages. Host is the right side of their Message-IDs.
type Store struct {
	Host string
	q    db.Queries
}

// ErrMessageDiffers says that a message could not be promised because its
// Message-ID belongs to another one. A person decides.
var ErrMessageDiffers = errors.New("outbox: the Message-ID stands for another message")

// MessagesTx promises messages. One that was promised before, for the same order
// and of the same kind, stays as it is: its recipient, and its Message-ID even if
// the host has another name by now.
func (s Store) MessagesTx(ctx context.Context, tx pgx.Tx, messages []Message) error {
	if len(messages) == 0 {
		return nil
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
		p.MessageIds = append(p.MessageIds, s.messageID(m))
	}
	inserted, err := s.q.InsertMessages(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	if len(inserted) == len(stands) {
		return nil
	}
	rows, err := s.q.MessagesOfOrders(ctx, tx, p.OrderIds)
	if err != nil {
		return fmt.Errorf("read messages back: %w", err)
	}
	for _, r := range rows {
		stands[key{r.OrderID, r.Kind}] = true
	}
	for _, m := range messages {
		if !stands[key{m.OrderID, string(m.Kind)}] {
			return fmt.Errorf("%w: %s of order %s", ErrMessageDiffers, m.Kind, m.OrderID)
		}
	}
	return nil
}

// messageID is made from the order and the kind alone, so that a message sent
// again by mistake is the same message to whoever receives it.
func (s Store) messageID(m Message) string {
	host := s.Host
	if host == "" {
		host = "proofroom.invalid"
	}
	return fmt.Sprintf("<%s.%s@%s>", m.Kind, m.OrderID, host)
}

// Of lists an order's messages.
func (s Store) Of(ctx context.Context, q pg.DBTX, orderID uuid.UUID) ([]Message, error) {
	rows, err := s.q.MessagesOf(ctx, q, orderID)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	out := make([]Message, len(rows))
	for i, r := range rows {
		out[i] = Message{
			ID: r.ID, OrderID: r.OrderID, Kind: Kind(r.Kind), Recipient: r.Recipient, MessageID: r.MessageID, State: r.State,
			InboxID: r.InboxID, CreatedAt: r.CreatedAt,
		}
	}
	return out, nil
}
