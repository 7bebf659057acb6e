package account

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/core/account/internal/db"
)

// Book has the writes that join a caller's transaction. It has no pool, so it
// can write nowhere else.
type Book struct {
	again bool // a proof took the guard of links away
}

// Audit is one thing that an operator did.
type Audit struct {
	AccountID uuid.UUID // who
	Action    string    // "refund.request"
	Subject   string    // what it was done to: "order:<id>"
	Detail    any       // stored as JSON; nil: nothing more to say
}

// AuditTx writes the row that the action's effect names as its cause, with the
// id of the request that ctx belongs to.
func (Book) AuditTx(ctx context.Context, tx pgx.Tx, a Audit) (uuid.UUID, error) {
	detail := []byte("{}")
	if a.Detail != nil {
		var err error
		if detail, err = json.Marshal(a.Detail); err != nil {
			return uuid.Nil, fmt.Errorf("audit %s: %w", a.Action, err)
		}
	}
	auditID := id.New()
	err := db.New().InsertAudit(ctx, tx, db.InsertAuditParams{
		ID: auditID, AccountID: a.AccountID, Action: a.Action, Subject: a.Subject, Detail: detail, RequestID: obs.RequestID(ctx),
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("audit %s: %w", a.Action, err)
	}
	return auditID, nil
}
