package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"proofroom/internal/proof/twin"
)

// evidence are the tables that are kept of a world in which something broke.
var evidence = []string{
	"orders", "order_lines", "order_history", "attempts", "payments", "refund_requests", "refunds", "disputes", "dispute_movements", "decisions", "reservations", "open_orders",
	"entitlements", "ledger_entries", "ledger_postings", "ledger_accounts", "wallets", "messages", "inbox", "idempotency_keys", "audit_log", "river_job",
}

// keepEvidence writes both sides of the story beside the processes' logs:
// database.json and provider.json.
func (w *World) keepEvidence(ctx context.Context) error {
	tables := map[string]json.RawMessage{}
	for _, t := range evidence {
		var rows json.RawMessage
		err := w.DB.QueryRow(ctx, `SELECT coalesce(json_agg(t), '[]') FROM `+t+` t`).Scan(&rows)
		if err != nil {
			return fmt.Errorf("keep %s: %w", t, err)
		}
		tables[t] = rows
	}
	provider := map[string]any{}
	var errs []error
	keep := func(name string, v any, err error) {
		provider[name] = v
		errs = append(errs, err)
	}
	pages, err := w.Twin.Pages(ctx, twin.PageFilter{})
	keep("pages", pages, err)
	disputes, err := w.Twin.Disputes(ctx)
	keep("disputes", disputes, err)
	events, err := w.Twin.Events(ctx, twin.EventFilter{})
	keep("events", events, err)
	deliveries, err := w.Twin.Deliveries(ctx, twin.DeliveryFilter{})
	keep("deliveries", deliveries, err)
	refunds, err := w.Twin.Refunds(ctx)
	keep("refunds", refunds, err)
	ledger, err := w.Twin.Ledger(ctx)
	keep("ledger", ledger, err)
	state, err := w.Twin.State(ctx)
	keep("state", state, err)
	return errors.Join(append(errs, writeJSON(filepath.Join(w.dir, "database.json"), tables), writeJSON(filepath.Join(w.dir, "provider.json"), provider))...)
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o600)
}
