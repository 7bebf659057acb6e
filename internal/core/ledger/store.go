package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger/internal/db"
)

var walletLock = guard.Define("ledger.wallet_lock", guard.Lock,
	"two refunds of one creator spend the same available money, and a debt goes missing")

// Store writes and reads the ledger. It has no pool. One serves a process; it
// remembers the ids of accounts, which never change, and which wallets there are.
type Store struct {
	q        db.Queries
	accounts memory[Account, int64]
	purses   memory[purse, struct{}]
	unlocked bool // a proof took the wallets' lock away
}

// New returns a store.
func New() *Store { return &Store{unlocked: !walletLock.On()} }

// PostTx posts entries, those of one order in the order of the slice, and
// returns one result for each, in the same order. An entry whose key stands
// already is compared with the one that stands; if it differs, or makes no
// sense after what stands, an *EntryError names it, and the caller undoes the
// transaction. The caller holds the orders' row locks.
func (s *Store) PostTx(ctx context.Context, tx pgx.Tx, entries []Entry) ([]Posted, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			return nil, err
		}
	}
	b := &book{orders: map[uuid.UUID]*folio{}}
	var err error
	if b.wallets, err = s.lockWallets(ctx, tx, entries); err != nil {
		return nil, err
	}
	// In the statement after the lock, so that it sees what the lock's last
	// holder did.
	if err := s.readOrders(ctx, tx, entries, b); err != nil {
		return nil, err
	}
	out, fresh, at, err := b.write(entries)
	if err != nil {
		return nil, err
	}
	if len(fresh) == 0 {
		return out, nil
	}
	inserted, err := s.insert(ctx, tx, fresh)
	if err != nil {
		return nil, err
	}
	if len(inserted) < len(fresh) {
		if err := s.readBack(ctx, tx, entries, fresh, inserted, at, out); err != nil {
			return nil, err
		}
	}
	return out, s.moveWallets(ctx, tx, fresh, inserted)
}

// lockWallets makes the wallets of the entries' creators that are not known to be
// there, then locks and reads all of them.
func (s *Store) lockWallets(ctx context.Context, tx pgx.Tx, entries []Entry) (map[purse]*Balance, error) {
	wallets := map[purse]*Balance{}
	known := true
	var p db.LockWalletsParams
	for i := range entries {
		e := &entries[i]
		w := purse{e.CreatorID, e.Currency}
		if e.ofCreator() && wallets[w] == nil {
			wallets[w] = &Balance{}
			p.CreatorIds, p.Currencies = append(p.CreatorIds, w.creator), append(p.Currencies, w.currency)
			_, has := s.purses.get(w)
			known = known && has
		}
	}
	if len(wallets) == 0 {
		return wallets, nil
	}
	if !known {
		if err := s.q.AddWallets(ctx, tx, db.AddWalletsParams(p)); err != nil {
			return nil, fmt.Errorf("make wallets: %w", err)
		}
	}
	var rows []db.LockWalletsRow
	var err error
	if s.unlocked {
		var seen []db.PeekWalletsRow
		seen, err = s.q.PeekWallets(ctx, tx, db.PeekWalletsParams(p))
		for _, r := range seen {
			rows = append(rows, db.LockWalletsRow(r))
		}
	} else {
		rows, err = s.q.LockWallets(ctx, tx, p)
	}
	if err != nil {
		return nil, fmt.Errorf("lock wallets: %w", err)
	}
	if len(rows) != len(wallets) {
		return nil, fmt.Errorf("lock wallets: found %d of %d", len(rows), len(wallets))
	}
	for _, r := range rows {
		w := purse{r.CreatorID, r.Currency}
		*wallets[w] = Balance{Pending: r.Pending, Available: r.Available, Held: r.Held, Debt: r.Debt}
		if r.Settled {
			s.purses.put(w, struct{}{})
		}
	}
	return wallets, nil
}

func (s *Store) readOrders(ctx context.Context, q pg.DBTX, entries []Entry, b *book) error {
	var ids []uuid.UUID
	for i := range entries {
		if entries[i].ofHistory() {
			ids = append(ids, entries[i].OrderID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	standing, err := s.standing(ctx, q, id.Sorted(ids))
	if err != nil {
		return err
	}
	for _, e := range standing {
		b.order(e.OrderID).add(e)
	}
	return nil
}

func (s *Store) insert(ctx context.Context, tx pgx.Tx, fresh []*Standing) (map[uuid.UUID]bool, error) {
	ids, err := s.accountIDs(ctx, tx, fresh)
	if err != nil {
		return nil, err
	}
	var p db.AddEntriesParams
	for _, e := range fresh {
		p.Ids, p.Keys, p.Kinds = append(p.Ids, e.ID), append(p.Keys, e.Key), append(p.Kinds, string(e.Kind))
		p.OrderIds, p.Grosses, p.Currencies = append(p.OrderIds, e.OrderID), append(p.Grosses, e.Gross), append(p.Currencies, e.Currency)
		p.Undoes, p.Disputes = append(p.Undoes, e.Undoes), append(p.Disputes, e.Dispute)
		p.CauseKinds, p.CauseIds = append(p.CauseKinds, e.CauseKind), append(p.CauseIds, e.CauseID)
		for seq, posting := range e.Postings {
			p.EntryIds, p.Seqs = append(p.EntryIds, e.ID), append(p.Seqs, int16(seq))
			p.AccountIds, p.PostingCurrencies = append(p.AccountIds, ids[posting.To]), append(p.PostingCurrencies, posting.To.Currency)
			p.Amounts = append(p.Amounts, posting.Amount)
		}
	}
	rows, err := s.q.AddEntries(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("post entries: %w", err)
	}
	inserted := make(map[uuid.UUID]bool, len(rows))
	for _, r := range rows {
		inserted[r] = true
	}
	return inserted, nil
}

// readBack compares entries that another transaction posted first with ours. An
// entry that was not inserted and whose key does not stand gave way to another
// entry on another unique key.
func (s *Store) readBack(ctx context.Context, tx pgx.Tx, entries []Entry, fresh []*Standing, inserted map[uuid.UUID]bool, at map[uuid.UUID]int, out []Posted) error {
	var keys []string
	for _, e := range fresh {
		if !inserted[e.ID] {
			keys = append(keys, e.Key)
		}
	}
	rows, err := s.q.EntriesByKey(ctx, tx, keys)
	if err != nil {
		return fmt.Errorf("read entries back: %w", err)
	}
	stands := make(map[string]*Standing, len(rows))
	for _, r := range rows {
		e := &Standing{ID: r.ID, Key: r.Key, Kind: Kind(r.Kind), Gross: r.Gross, Currency: r.Currency}
		if r.OrderID != nil {
			e.OrderID = *r.OrderID
		}
		if r.Undoes != nil {
			e.Undoes = *r.Undoes
		}
		if r.Dispute != nil {
			e.Dispute = *r.Dispute
		}
		stands[r.Key] = e
	}
	for _, f := range fresh {
		if inserted[f.ID] {
			continue
		}
		i := at[f.ID]
		got := stands[f.Key]
		if got == nil {
			return entries[i].fail(ErrEntryDiffers, "the order's sale, or what it undoes, stands under another key")
		}
		if err := entries[i].same(got); err != nil {
			return err
		}
		out[i].ID, out[i].Result = got.ID, Already
	}
	return nil
}

func (s *Store) moveWallets(ctx context.Context, tx pgx.Tx, fresh []*Standing, inserted map[uuid.UUID]bool) error {
	sums := map[purse]*Balance{}
	for _, e := range fresh {
		if !inserted[e.ID] {
			continue
		}
		for _, posting := range e.Postings {
			if posting.To.CreatorID == uuid.Nil {
				continue
			}
			w := purse{posting.To.CreatorID, posting.To.Currency}
			if sums[w] == nil {
				sums[w] = &Balance{}
			}
			sums[w].move(posting)
		}
	}
	var p db.MoveWalletsParams
	for w, sum := range sums {
		p.CreatorIds, p.Currencies = append(p.CreatorIds, w.creator), append(p.Currencies, w.currency)
		p.Pendings, p.Availables = append(p.Pendings, sum.Pending), append(p.Availables, sum.Available)
		p.Helds, p.Debts = append(p.Helds, sum.Held), append(p.Debts, sum.Debt)
	}
	if len(sums) == 0 {
		return nil
	}
	n, err := s.q.MoveWallets(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("move wallets: %w", err)
	}
	if n != int64(len(sums)) {
		return fmt.Errorf("move wallets: %d of %d moved", n, len(sums))
	}
	return nil
}

// Wallet reads a creator's balance. Who never sold anything has zeros.
func (s *Store) Wallet(ctx context.Context, q pg.DBTX, creatorID uuid.UUID, currency string) (Balance, error) {
	r, err := s.q.Wallet(ctx, q, db.WalletParams{CreatorID: creatorID, Currency: currency})
	if errors.Is(err, pgx.ErrNoRows) {
		return Balance{}, nil
	}
	if err != nil {
		return Balance{}, fmt.Errorf("read a wallet: %w", err)
	}
	return Balance(r), nil
}

// OrderEntries lists what stands of an order, oldest first.
func (s *Store) OrderEntries(ctx context.Context, q pg.DBTX, orderID uuid.UUID) ([]Standing, error) {
	rows, err := s.standing(ctx, q, []uuid.UUID{orderID})
	if err != nil {
		return nil, err
	}
	out := make([]Standing, len(rows))
	for i, r := range rows {
		out[i] = *r
	}
	return out, nil
}

func (s *Store) standing(ctx context.Context, q pg.DBTX, orderIDs []uuid.UUID) ([]*Standing, error) {
	rows, err := s.q.PostingsOfOrders(ctx, q, orderIDs)
	if err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	var out []*Standing
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].ID != r.ID {
			e := &Standing{
				ID: r.ID, Key: r.Key, Kind: Kind(r.Kind), OrderID: *r.OrderID, Gross: r.Gross, Currency: r.Currency,
				CauseKind: r.CauseKind, CauseID: r.CauseID, CreatedAt: r.CreatedAt,
			}
			if r.Undoes != nil {
				e.Undoes = *r.Undoes
			}
			if r.Dispute != nil {
				e.Dispute = *r.Dispute
			}
			out = append(out, e)
		}
		to := Account{Kind: r.AccountKind, Provider: r.Provider, Account: r.Account, Currency: r.Currency}
		if r.CreatorID != nil {
			to.CreatorID = *r.CreatorID
		}
		last := out[len(out)-1]
		last.Postings = append(last.Postings, Posting{To: to, Amount: r.Amount})
	}
	return out, nil
}
