package payment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment/internal/db"
)

// Inbox reads and writes the inbox. It has no pool.
type Inbox struct{ q db.Queries }

// Row is a receipt to store.
type Row struct {
	ID       uuid.UUID
	Provider string
	Account  string
	Receipt  Receipt
	Header   http.Header
	Body     []byte
	// Seq is for a reply that carries disputes: drawn by DrawSeq before the
	// provider was asked. Zero otherwise.
	Seq int64
	// Done says that its effects are in the transaction that stores it.
	Done bool
}

// state is how a row begins.
func (r *Row) state() (state, note string) {
	switch {
	case r.Receipt.Class == ClassIgnored:
		return string(Ignored), "an event type that we have no use for"
	case r.Done:
		return string(Done), ""
	}
	return "received", ""
}

// Claimed is a row that the caller holds locked and may apply.
type Claimed struct {
	ID        uuid.UUID
	Provider  string
	Account   string
	EventType string
	ObjectID  string
	Class     Class
	Attempts  int
	Age       time.Duration // since its tries count
	Facts     []Observation
	// Unreadable is why the stored facts cannot be read; such a row is poison.
	Unreadable error
}

// Reply makes a row of class reply: an answer of the provider to a call of
// ours, as good as a webhook.
func Reply(p Provider, eventType, objectID string, facts []Observation) Row {
	rowID := id.New()
	return Row{ID: rowID, Provider: p.Name(), Account: p.Account(), Receipt: Receipt{
		EventID: "reply:" + rowID.String(), EventType: eventType, ObjectID: objectID,
		Class: ClassReply, Applier: ApplierOrder, Facts: facts,
	}}
}

// Missing makes a row of class pointer to a payment that something else named
// and nobody has told us of: one row for each payment.
func Missing(provider, account, paymentID string) Row {
	return Row{ID: id.New(), Provider: provider, Account: account, Receipt: Receipt{
		EventID: "missing:" + paymentID, EventType: "missing", ObjectID: paymentID, Class: ClassPointer, Applier: ApplierOrder,
	}}
}

// States says how pointers with the names of these stand; those that are not
// there are left out. The key is the event's name.
func (in Inbox) States(ctx context.Context, q pg.DBTX, rows []Row) (map[string]string, error) {
	var p db.StatesOfParams
	for _, r := range rows {
		p.Providers, p.Accounts = append(p.Providers, r.Provider), append(p.Accounts, r.Account)
		p.EventIds, p.ObjectIds = append(p.EventIds, r.Receipt.EventID), append(p.ObjectIds, r.Receipt.ObjectID)
		p.EventTypes = append(p.EventTypes, r.Receipt.EventType)
	}
	states, err := in.q.StatesOf(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("read how rows stand: %w", err)
	}
	out := make(map[string]string, len(states))
	for _, s := range states {
		out[s.EventID] = s.State
	}
	return out, nil
}

// maxHeader bounds what is kept of a request's headers.
const maxHeader = 16 << 10

// Store inserts rows in one statement and returns which of them are new. A
// pointer that is there already is marked to be fetched again. With a pool the
// statement commits by itself; it is durable when Store returns.
func (in Inbox) Store(ctx context.Context, q pg.DBTX, rows []Row) (map[uuid.UUID]bool, error) {
	var p db.InsertReceiptsParams
	var again db.PointAgainParams
	for _, r := range rows {
		facts, err := json.Marshal(r.Receipt.Facts)
		if err != nil {
			return nil, fmt.Errorf("encode observations: %w", err)
		}
		p.Ids, p.Providers, p.Accounts = append(p.Ids, r.ID), append(p.Providers, r.Provider), append(p.Accounts, r.Account)
		p.EventIds, p.ObjectIds = append(p.EventIds, r.Receipt.EventID), append(p.ObjectIds, r.Receipt.ObjectID)
		p.EventTypes, p.Classes = append(p.EventTypes, r.Receipt.EventType), append(p.Classes, string(r.Receipt.Class))
		p.Appliers, p.Facts = append(p.Appliers, r.Receipt.Applier), append(p.Facts, facts)
		p.Headers, p.Bodies = append(p.Headers, headerBytes(r.Header)), append(p.Bodies, bodyBytes(r.Body))
		p.SaidAt, p.Seqs = append(p.SaidAt, r.Receipt.Created), append(p.Seqs, r.Seq)
		state, note := r.state()
		p.States, p.Notes = append(p.States, state), append(p.Notes, note)
	}
	ids, err := in.q.InsertReceipts(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("store receipts: %w", err)
	}
	fresh := make(map[uuid.UUID]bool, len(ids))
	for _, rowID := range ids {
		fresh[rowID] = true
	}
	for _, r := range rows {
		if !fresh[r.ID] && r.Receipt.Class == ClassPointer {
			again.Providers, again.Accounts = append(again.Providers, r.Provider), append(again.Accounts, r.Account)
			again.EventIds, again.ObjectIds = append(again.EventIds, r.Receipt.EventID), append(again.ObjectIds, r.Receipt.ObjectID)
			again.EventTypes = append(again.EventTypes, r.Receipt.EventType)
		}
	}
	if len(again.EventIds) > 0 {
		if err := in.q.PointAgain(ctx, q, again); err != nil {
			return nil, fmt.Errorf("point again: %w", err)
		}
	}
	return fresh, nil
}

func headerBytes(h http.Header) []byte {
	if h == nil {
		return []byte{}
	}
	var b strings.Builder
	_ = h.Write(&b)
	return []byte(b.String()[:min(b.Len(), maxHeader)])
}

func bodyBytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// DrawSeq draws a number above all drawn before, and reads the clock of leases
// and expiry. Who asks a provider about disputes outside a fetch draws it first
// and stores it with the answer, so that an older answer never replaces a newer.
func (in Inbox) DrawSeq(ctx context.Context, q pg.DBTX) (seq int64, now time.Time, err error) {
	r, err := in.q.DrawSeq(ctx, q)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("draw a sequence: %w", err)
	}
	return r.Seq, r.Now, nil
}

// Backlog counts the facts that wait to be applied for the first time, up to
// limit.
func (in Inbox) Backlog(ctx context.Context, q pg.DBTX, limit int) (int, error) {
	n, err := in.q.Backlog(ctx, q, int32(limit))
	if err != nil {
		return 0, fmt.Errorf("count the backlog: %w", err)
	}
	return int(n), nil
}

// Unfetched counts the pointers of an account that were not fetched yet, up to
// limit.
func (in Inbox) Unfetched(ctx context.Context, q pg.DBTX, provider, account string, limit int) (int, error) {
	n, err := in.q.Unfetched(ctx, q, db.UnfetchedParams{Provider: provider, Account: account, Max: int32(limit)})
	if err != nil {
		return 0, fmt.Errorf("count pointers: %w", err)
	}
	return int(n), nil
}

// ClaimDueTx locks up to limit rows of one applier that are due; rows that
// another transaction holds are left to it.
func (in Inbox) ClaimDueTx(ctx context.Context, tx pgx.Tx, applier string, limit int) ([]Claimed, error) {
	rows, err := in.q.ClaimDue(ctx, tx, db.ClaimDueParams{Applier: applier, Max: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("claim inbox rows: %w", err)
	}
	out := make([]Claimed, len(rows))
	for i, r := range rows {
		out[i] = claimed(db.ClaimRowsRow(r))
	}
	return out, nil
}

// ClaimTx is ClaimDueTx for chosen rows, due or not.
func (in Inbox) ClaimTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]Claimed, error) {
	rows, err := in.q.ClaimRows(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("claim inbox rows: %w", err)
	}
	out := make([]Claimed, len(rows))
	for i, r := range rows {
		out[i] = claimed(r)
	}
	return out, nil
}

func claimed(r db.ClaimRowsRow) Claimed {
	c := Claimed{
		ID: r.ID, Provider: r.Provider, Account: r.Account, EventType: r.EventType, ObjectID: r.ObjectID, Class: Class(r.Class),
		Attempts: int(r.Attempts), Age: time.Duration(r.AgeSeconds * float64(time.Second)),
	}
	c.Facts, c.Unreadable = facts(r.ID, r.Seq, r.Facts)
	return c
}

// End is the end of a row, or of a try at it.
type End struct {
	ID      uuid.UUID
	Verdict Verdict       // Done, Ignored or Retry
	Note    string        // for an operator
	Wait    time.Duration // until the next try
	Dead    bool          // no further try: a person decides
}

// FinishTx writes the ends of claimed rows.
func (in Inbox) FinishTx(ctx context.Context, tx pgx.Tx, ends []End) error {
	var f db.FinishParams
	var p db.PutOffParams
	for _, e := range ends {
		if e.Verdict == Retry {
			p.Ids, p.Notes = append(p.Ids, e.ID), append(p.Notes, note(e.Note))
			p.Waits, p.Deads = append(p.Waits, e.Wait.Seconds()), append(p.Deads, e.Dead)
			continue
		}
		f.Ids, f.States, f.Notes = append(f.Ids, e.ID), append(f.States, string(e.Verdict)), append(f.Notes, note(e.Note))
	}
	if len(f.Ids) > 0 {
		if err := in.q.Finish(ctx, tx, f); err != nil {
			return fmt.Errorf("finish inbox rows: %w", err)
		}
	}
	if len(p.Ids) > 0 {
		if err := in.q.PutOff(ctx, tx, p); err != nil {
			return fmt.Errorf("put inbox rows off: %w", err)
		}
	}
	return nil
}

// note keeps words short and storable: they may quote what a provider said.
func note(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "")
	}
	return s
}

// Fetch is a pointer that the caller holds leased.
type Fetch struct {
	ID       uuid.UUID
	Provider string
	Account  string
	Pointer  Pointer
	Applier  string
	Term     int32
	Seq      int64 // drawn before the provider is asked
	Attempts int   // answers so far that said something about the pointer
	Lost     int   // replies lost since the last answer
}

// ClaimFetches leases up to limit pointers of one account for 30 s; each has a
// term at which alone the result counts, and draws the sequence of its answer.
func (in Inbox) ClaimFetches(ctx context.Context, q pg.DBTX, provider, account string, limit int) ([]Fetch, error) {
	rows, err := in.q.ClaimFetches(ctx, q, db.ClaimFetchesParams{Provider: provider, Account: account, Max: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("claim pointers: %w", err)
	}
	out := make([]Fetch, len(rows))
	for i, r := range rows {
		out[i] = fetch(r)
	}
	return out, nil
}

// ClaimStrays is ClaimFetches for pointers of accounts that ps does not have.
func (in Inbox) ClaimStrays(ctx context.Context, q pg.DBTX, ps Providers, limit int) ([]Fetch, error) {
	p := db.ClaimStraysParams{Providers: []string{}, Accounts: []string{}, Max: int32(limit)}
	for _, known := range ps {
		p.Providers, p.Accounts = append(p.Providers, known.Name()), append(p.Accounts, known.Account())
	}
	rows, err := in.q.ClaimStrays(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("claim pointers of unknown accounts: %w", err)
	}
	out := make([]Fetch, len(rows))
	for i, r := range rows {
		out[i] = fetch(db.ClaimFetchesRow(r))
	}
	return out, nil
}

func fetch(r db.ClaimFetchesRow) Fetch {
	return Fetch{
		ID: r.ID, Provider: r.Provider, Account: r.Account, Applier: r.Applier, Term: r.Term, Seq: r.Seq, Attempts: int(r.Attempts), Lost: int(r.Lost),
		Pointer: Pointer{EventType: r.EventType, ObjectID: r.ObjectID},
	}
}

// Fetched is what a pointer pointed at.
type Fetched struct {
	Fetch
	Facts []Observation
	// Done says that its effects are in the transaction that stores it.
	Done bool
}

// StoreFetched stores what pointers pointed at and returns the rows that took it;
// of the others the lease was lost: another worker's result counts.
func (in Inbox) StoreFetched(ctx context.Context, q pg.DBTX, fetched []Fetched) (map[uuid.UUID]bool, error) {
	var p db.StoreFetchedParams
	for _, f := range fetched {
		b, err := json.Marshal(f.Facts)
		if err != nil {
			return nil, fmt.Errorf("encode observations: %w", err)
		}
		p.Ids, p.Terms = append(p.Ids, f.ID), append(p.Terms, f.Term)
		p.Facts, p.Dones = append(p.Facts, b), append(p.Dones, f.Done)
	}
	ids, err := in.q.StoreFetched(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("store what was fetched: %w", err)
	}
	stored := make(map[uuid.UUID]bool, len(ids))
	for _, rowID := range ids {
		stored[rowID] = true
	}
	return stored, nil
}

// FetchFailed puts a pointer off, at the fetcher's own term. lost says that the
// provider did not answer, which is no verdict about the pointer and counts no
// attempt.
func (in Inbox) FetchFailed(ctx context.Context, q pg.DBTX, f Fetch, e End, lost bool) error {
	_, err := in.q.FetchFailed(ctx, q, db.FetchFailedParams{
		ID: f.ID, Term: f.Term, Dead: e.Dead, Lost: lost, Note: note(e.Note), Wait: e.Wait.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("put a pointer off: %w", err)
	}
	return nil
}

// Unclaim gives back a pointer that nobody was asked about.
func (in Inbox) Unclaim(ctx context.Context, q pg.DBTX, f Fetch) error {
	if _, err := in.q.Unclaim(ctx, q, db.UnclaimParams{ID: f.ID, Term: f.Term}); err != nil {
		return fmt.Errorf("give a pointer back: %w", err)
	}
	return nil
}

// LastFacts are the facts that asking about each object last brought, as they
// are stored: JSON.
func (in Inbox) LastFacts(ctx context.Context, q pg.DBTX, provider, account string, objectIDs []string) (map[string][]byte, error) {
	rows, err := in.q.LastFacts(ctx, q, db.LastFactsParams{Provider: provider, Account: account, ObjectIds: objectIDs})
	if err != nil {
		return nil, fmt.Errorf("read what was last found out: %w", err)
	}
	out := make(map[string][]byte, len(rows))
	for _, r := range rows {
		out[r.ObjectID] = r.Facts
	}
	return out, nil
}

// Refusal is how often webhooks to one account were refused for one reason, and
// what the last of them was.
type Refusal struct {
	Provider string
	Account  string
	Reason   string // a VerifyError's
	Detail   string
	Body     []byte // of which MaxRefused bytes are kept
	Count    int
	// First and Last are when, in UTC. The database dates what is added.
	First, Last time.Time
}

// MaxRefused bounds what is kept of a refused body.
const MaxRefused = 4 << 10

// Refused adds to the count of refused webhooks, which begins anew after a day
// without any, and replaces the one that is kept.
func (in Inbox) Refused(ctx context.Context, q pg.DBTX, r Refusal) error {
	err := in.q.CountRefused(ctx, q, db.CountRefusedParams{
		Provider: r.Provider, Account: r.Account, Reason: r.Reason, Count: int64(r.Count), Detail: note(r.Detail),
		Body: bodyBytes(r.Body[:min(len(r.Body), MaxRefused)]),
	})
	if err != nil {
		return fmt.Errorf("count refused webhooks: %w", err)
	}
	return nil
}

// Backlogged is what waits in the inbox.
type Backlogged struct {
	Dead int // given up, for a person
	Slow int // not worked for longer than asked about
}

// Waiting counts what is dead, and what has waited for longer than longest.
func (in Inbox) Waiting(ctx context.Context, q pg.DBTX, longest time.Duration) (Backlogged, error) {
	r, err := in.q.Waiting(ctx, q, longest.Seconds())
	if err != nil {
		return Backlogged{}, fmt.Errorf("count what waits: %w", err)
	}
	return Backlogged{int(r.Dead), int(r.Slow)}, nil
}

// Heard is what one account has sent.
type Heard struct {
	Events   int       // taken
	Refusals []Refusal // the last first, without bodies
}

// HeardOf tells what an account has sent in the time since.
func (in Inbox) HeardOf(ctx context.Context, q pg.DBTX, provider, account string, since time.Duration) (Heard, error) {
	n, err := in.q.HeardOf(ctx, q, db.HeardOfParams{Provider: provider, Account: account, Since: since.Seconds()})
	if err != nil {
		return Heard{}, fmt.Errorf("count webhooks: %w", err)
	}
	rows, err := in.q.RefusalsOf(ctx, q, db.RefusalsOfParams{Provider: provider, Account: account, Since: since.Seconds()})
	if err != nil {
		return Heard{}, fmt.Errorf("read refused webhooks: %w", err)
	}
	h := Heard{Events: int(n)}
	for _, r := range rows {
		h.Refusals = append(h.Refusals, Refusal{
			Provider: provider, Account: account, Reason: r.Reason, Detail: r.Detail, Count: int(r.Count),
			First: r.FirstAt.UTC(), Last: r.LastAt.UTC(),
		})
	}
	return h, nil
}

// Providers are the accounts that this installation takes money with.
type Providers []Provider

// Find returns the account, or nil.
func (ps Providers) Find(name, account string) Provider {
	for _, p := range ps {
		if p.Name() == name && p.Account() == account {
			return p
		}
	}
	return nil
}
