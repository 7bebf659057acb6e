package ledger

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/core/ledger/internal/db"
)

// memory keeps what was seen committed and never changes. What the own
// transaction made is not of that: it may be rolled back.
type memory[K comparable, V any] struct {
	mu   sync.RWMutex
	kept map[K]V
}

// maxKept bounds a memory to a few megabytes.
const maxKept = 20_000

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.kept[k]
	return v, ok
}

func (m *memory[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= maxKept {
		m.kept = map[K]V{}
	}
	m.kept[k] = v
}

// accountIDs finds the accounts of all postings, and makes the missing ones.
func (s *Store) accountIDs(ctx context.Context, tx pgx.Tx, entries []*Standing) (map[Account]int64, error) {
	ids := map[Account]int64{}
	var missing []Account
	for _, e := range entries {
		for _, p := range e.Postings {
			if _, ok := ids[p.To]; ok {
				continue
			}
			n, ok := s.accounts.get(p.To)
			ids[p.To] = n
			if !ok {
				missing = append(missing, p.To)
			}
		}
	}
	missing, err := s.findAccounts(ctx, tx, missing, ids)
	if err != nil || len(missing) == 0 {
		return ids, err
	}
	if err := s.q.AddAccounts(ctx, tx, db.AddAccountsParams(accountParams(missing))); err != nil {
		return nil, fmt.Errorf("make ledger accounts: %w", err)
	}
	// In the next statement, so that it sees the ones that another transaction
	// committed while the insert waited.
	missing, err = s.findAccounts(ctx, tx, missing, ids)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("make ledger accounts: %d are not there, the first is %+v", len(missing), missing[0])
	}
	return ids, err
}

// findAccounts fills in the ids that it finds and returns the accounts that it does not.
func (s *Store) findAccounts(ctx context.Context, tx pgx.Tx, wanted []Account, ids map[Account]int64) ([]Account, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	rows, err := s.q.FindAccounts(ctx, tx, accountParams(wanted))
	if err != nil {
		return nil, fmt.Errorf("find ledger accounts: %w", err)
	}
	found := map[Account]bool{}
	for _, r := range rows {
		a := Account{Kind: r.Kind, Provider: r.Provider, Account: r.Account, Currency: r.Currency}
		if r.CreatorID != nil {
			a.CreatorID = *r.CreatorID
		}
		ids[a], found[a] = r.ID, true
		if r.Settled {
			s.accounts.put(a, r.ID)
		}
	}
	var missing []Account
	for _, a := range wanted {
		if !found[a] {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

func accountParams(accounts []Account) (p db.FindAccountsParams) {
	for _, a := range accounts {
		p.Kinds, p.CreatorIds = append(p.Kinds, a.Kind), append(p.CreatorIds, a.CreatorID)
		p.Providers, p.Accounts, p.Currencies = append(p.Providers, a.Provider), append(p.Accounts, a.Account), append(p.Currencies, a.Currency)
	}
	return p
}
