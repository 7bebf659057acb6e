package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
)

// Each guard of the tables: the damage is refused while it stands, and goes
// unnoticed by everything but the rules (violations) once it is taken away.
func TestGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	r, s := o.refund("1", 4_00), o.entry(Surplus, "", 1_00)
	fee, opened := o.entry(Fee, "", 30), o.disputed(DisputeOpened, "1", "", 5_00)
	w.mustPost(t, o.sale(), s, r, o.undo(r), fee, opened)

	sql := func(statement string) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, statement)
			return err
		}
	}
	post := func(entries ...Entry) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := w.store.PostTx(ctx, tx, entries)
			return err
		}
	}
	secondSale := o.sale()
	secondSale.Key += " of another payment"
	// An entry of 5 cents whose postings are given as (account kind, amount).
	entry := func(postings string) string {
		return `WITH e AS (INSERT INTO ledger_entries (id, key, kind, gross, currency, cause_kind, cause_id)
			VALUES ('` + id.New().String() + `', 'raw', 'fee', 5, 'USD', 'audit', '` + id.New().String() + `') RETURNING id)
			INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
			SELECT e.id, v.seq, (SELECT min(id) FROM ledger_accounts WHERE kind = v.kind), v.currency, v.amount
			FROM e, (VALUES ` + postings + `) v (seq, kind, currency, amount)`
	}
	onPostings := "DROP TRIGGER ledger_postings_balance ON ledger_postings"
	for name, c := range map[string]struct {
		remove  string
		damage  func(context.Context, pgx.Tx) error
		refused func(error) bool
		broken  string
	}{
		"an entry that does not add up": {
			onPostings, sql(entry(`(1, 'clearing', 'USD', 5), (2, 'revenue', 'USD', -4)`)), code("PR004"), "unbalanced",
		},
		"an entry with a single posting": {
			onPostings + "; ALTER TABLE ledger_postings DROP CONSTRAINT ledger_postings_amount_check",
			sql(entry(`(1, 'clearing', 'USD', 0)`)), code("23514", "PR005"), "single posting",
		},
		"postings that join later": {
			onPostings, sql(`INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
				SELECT p.entry_id, v.seq, p.account_id, p.currency, v.amount FROM (SELECT entry_id, account_id, currency FROM ledger_postings LIMIT 1) p,
				(VALUES (8, 7), (9, -7)) v (seq, amount)`), code("PR005"), "amount",
		},
		"postings of no account": {
			onPostings, sql(entry(`(1, 'clearing', 'USD', 5), (2, 'in_flight', 'USD', -5)`)), code("23502"), "",
		},
		"postings in another currency": {
			onPostings, sql(entry(`(1, 'clearing', 'EUR', 5), (2, 'revenue', 'EUR', -5)`)), code("PR006"), "foreign posting",
		},
		"an entry without postings": {
			"DROP TRIGGER ledger_entries_whole ON ledger_entries", sql(entry(`(1, 'clearing', 'USD', 1)`) + ` WHERE false`), code("PR007"), "no postings",
		},
		"a posting changed": {
			"DROP TRIGGER ledger_postings_append_only ON ledger_postings",
			sql(`UPDATE ledger_postings SET amount = amount + 1 WHERE amount > 0`), code("PR002"), "unbalanced",
		},
		"a posting deleted": {
			"DROP TRIGGER ledger_postings_append_only ON ledger_postings",
			sql(`DELETE FROM ledger_postings WHERE amount > 0`), code("PR002"), "unbalanced",
		},
		"all postings deleted": {
			"DROP TRIGGER ledger_postings_append_only ON ledger_postings", sql(`TRUNCATE ledger_postings`), code("PR002"), "no postings",
		},
		"an entry changed": {
			"DROP TRIGGER ledger_entries_append_only ON ledger_entries", sql(`UPDATE ledger_entries SET gross = gross + 1`), code("PR002"), "amount",
		},
		"an account re-keyed": {
			"DROP TRIGGER ledger_accounts_append_only ON ledger_accounts",
			sql(`UPDATE ledger_accounts SET currency = 'EUR' WHERE kind = 'revenue'`), code("PR002"), "foreign posting",
		},
		"one key twice": {
			"DROP INDEX uq_ledger_entry", post(fee), nil, "posted twice",
		},
		"one sale twice": {
			"DROP INDEX uq_ledger_entry; DROP INDEX uq_ledger_sale", post(o.sale()), nil, "posted twice",
		},
		"an order sold twice": {
			"DROP INDEX uq_ledger_sale", post(secondSale), differs, "sold twice",
		},
		"a refund undone twice": {
			"DROP INDEX uq_ledger_undoes", sql(`WITH o AS (SELECT id, undoes FROM ledger_entries WHERE undoes IS NOT NULL), e AS (
				INSERT INTO ledger_entries (id, key, kind, gross, currency, undoes, cause_kind, cause_id)
				SELECT '` + id.New().String() + `', 'raw', 'refund_undone', 400, 'USD', undoes, 'audit', id FROM o RETURNING id)
				INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
				SELECT e.id, p.seq, p.account_id, p.currency, p.amount FROM e, ledger_postings p JOIN o ON o.id = p.entry_id`),
			unique(pg.UqLedgerUndoes), "undone twice",
		},
		"a dispute opened twice": {
			"DROP INDEX uq_ledger_dispute", sql(`WITH o AS (SELECT id, dispute FROM ledger_entries WHERE dispute IS NOT NULL), e AS (
				INSERT INTO ledger_entries (id, key, kind, gross, currency, dispute, cause_kind, cause_id)
				SELECT '` + id.New().String() + `', 'raw', 'dispute_opened', 500, 'USD', dispute, 'audit', id FROM o RETURNING id)
				INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
				SELECT e.id, p.seq, p.account_id, p.currency, p.amount FROM e, ledger_postings p JOIN o ON o.id = p.entry_id`),
			unique(pg.UqLedgerDispute), "disputed twice",
		},
		"an account twice": {
			"ALTER TABLE ledger_accounts DROP CONSTRAINT uq_ledger_account",
			sql(`INSERT INTO ledger_accounts (kind, currency) SELECT kind, currency FROM ledger_accounts WHERE kind = 'revenue'`),
			unique(pg.UqLedgerAccount), "account twice",
		},
		"pending below zero": {
			"ALTER TABLE wallets DROP CONSTRAINT wallet_pending", sql(`UPDATE wallets SET pending = -1`), code("23514"), "negative wallet",
		},
		"available below zero": {
			"ALTER TABLE wallets DROP CONSTRAINT wallet_available", sql(`UPDATE wallets SET available = -1`), code("23514"), "negative wallet",
		},
		"held below zero": {
			"ALTER TABLE wallets DROP CONSTRAINT wallet_held", sql(`UPDATE wallets SET held = -1`), code("23514"), "negative wallet",
		},
		"debt below zero": {
			"ALTER TABLE wallets DROP CONSTRAINT wallet_debt", sql(`UPDATE wallets SET debt = -1`), code("23514"), "negative wallet",
		},
		// Nothing in the database forbids this one: that only sums of inserted
		// entries move a wallet is a rule of PostTx, and the rules see it broken.
		"a wallet moved by nothing": {
			"", sql(`UPDATE wallets SET pending = pending + 1`), nil, "wallet",
		},
	} {
		t.Run(name, func(t *testing.T) { // one by one: each locks whole tables
			try := func(remove string) (rules []string, err error) {
				tx, err := w.db.Owner.Begin(t.Context()) // the program may do none of this
				require.NoError(t, err)
				defer func() { _ = tx.Rollback(background()) }()
				_, err = tx.Exec(t.Context(), remove)
				require.NoError(t, err)
				if err := c.damage(t.Context(), tx); err != nil {
					return nil, err
				}
				return broken(t, tx), nil
			}
			rules, err := try("")
			switch {
			case c.refused != nil:
				require.Error(t, err)
				require.True(t, c.refused(err), "%v", err)
			case c.remove != "": // posting again: no error, and no effect
				require.NoError(t, err)
				require.Empty(t, rules)
			}
			if c.broken == "" {
				return
			}
			rules, err = try(c.remove)
			require.NoError(t, err)
			require.Contains(t, rules, c.broken)
		})
	}
}

func code(codes ...string) func(error) bool {
	return func(err error) bool {
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) {
			return false
		}
		for _, c := range codes {
			if pgErr.Code == c {
				return true
			}
		}
		return false
	}
}

func unique(name string) func(error) bool {
	return func(err error) bool { return pg.IsUnique(err, name) }
}

func differs(err error) bool {
	return errors.Is(err, ErrEntryDiffers)
}
