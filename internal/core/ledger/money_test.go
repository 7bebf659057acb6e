package ledger

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/money"
	"proofroom/internal/base/pg"
)

//go:generate go run ../../testkit/pgtest/withpg go test . -count 1 -run ^TestMoneyDocument$ -write

var write = flag.Bool("write", false, "write the examples into docs/money.md instead of comparing them")

const moneyDocument = "../../../docs/money.md"

// story is a worked example of docs/money.md: it happens in a database, and the
// table is what the ledger posted.
type story struct {
	currency string
	rows     func(*teller)
}

// teller posts a story's entries and writes down what became of them.
type teller struct {
	*testing.T
	w    *world
	tx   pgx.Tx
	sold // the order that it is about
	rows []row
}

type row struct {
	what  string
	lines lines
}

// commission is the platform's part in the examples, in basis points.
const commission = 1500

// order is a sale over gross.
func (s *teller) order(gross int64) sold {
	net, _, err := money.Split(gross, commission)
	require.NoError(s, err)
	return newSold(s.creator, s.currency, gross, net)
}

// post posts one entry and tells it.
func (s *teller) post(what string, e Entry) {
	out, err := s.w.store.PostTx(s.Context(), s.tx, []Entry{e})
	require.NoError(s, err, what)
	r := row{what: strings.ReplaceAll(what, "%", money.Amount{Minor: e.Gross, Currency: s.currency}.String()), lines: lines{}}
	all, err := s.w.store.OrderEntries(s.Context(), s.tx, e.OrderID)
	require.NoError(s, err)
	for _, stands := range all {
		for _, p := range stands.Postings {
			if stands.Key == e.Key {
				r.lines[p.To.Kind] += p.Amount
			}
		}
	}
	require.Equal(s, out[0].Result == Nothing, len(r.lines) == 0, what)
	s.rows = append(s.rows, r)
}

// sale begins a story.
func (s *teller) sale(gross int64) {
	s.sold = s.order(gross)
	s.post("A photograph is sold for %", s.sold.sale())
}

func (s *teller) payOut(amount int64) {
	s.w.payOut(s, s.tx, s.creator, s.currency, amount)
	what := fmt.Sprintf("%s is on its way to the creator", money.Amount{Minor: amount, Currency: s.currency})
	s.rows = append(s.rows, row{what, lines{available: amount, "in_flight": -amount}})
}

var stories = map[string]story{
	"sale-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("The provider kept a fee of %", s.entry(Fee, "", 59))
		s.post("The waiting time is over: released", s.release())
	}},
	"sale-jpy": {"JPY", func(s *teller) {
		s.sale(1200)
		s.post("The provider kept a fee of %", s.entry(Fee, "", 43))
		s.post("The waiting time is over: released", s.release())
	}},
	"sale-kwd": {"KWD", func(s *teller) {
		s.sale(4_250)
		s.post("The provider kept a fee of %", s.entry(Fee, "", 163))
		s.post("The waiting time is over: released", s.release())
	}},
	"refund-parts-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("% goes back", s.refund("1", 3_33))
		s.post("% goes back", s.refund("2", 3_33))
		s.post("% goes back", s.refund("3", 3_34))
	}},
	"refund-parts-jpy": {"JPY", func(s *teller) {
		s.sale(100)
		s.post("% goes back", s.refund("1", 33))
		s.post("% goes back", s.refund("2", 33))
		s.post("% goes back", s.refund("3", 34))
	}},
	"refund-failed-kwd": {"KWD", func(s *teller) {
		s.sale(4_250)
		r := s.refund("1", 1_000)
		s.post("% goes back", r)
		s.post("The buyer's bank refuses it: % comes back", s.undo(r))
		s.post("The waiting time is over: released", s.release())
	}},
	"refund-debt-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("The waiting time is over: released", s.release())
		s.payOut(6_00)
		s.post("% goes back", s.refund("1", 10_00))
		next := s.order(20_00)
		s.post("Another is sold for %", next.sale())
		s.post("That one is released", next.release())
	}},
	"surplus-jpy": {"JPY", func(s *teller) {
		s.sale(1200)
		s.post("The same buyer pays % once more", s.entry(Surplus, "", 1200))
		s.post("% is sent back", s.entry(SurplusRefunded, "", 1200))
	}},
	"excess-kwd": {"KWD", func(s *teller) {
		s.sale(4_250)
		s.post("The payment held % more than that", s.entry(Surplus, "", 750))
		s.post("Somebody sends all of it back at the provider: %", s.refund("1", 5_000))
	}},
	"dispute-won-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("A dispute over % is opened", s.opened(10_00))
		s.post("The provider takes %", s.withdrawn(10_00))
		s.post("It keeps a fee of % for the dispute", s.entry(Fee, "", 15_00))
		s.post("Won: the provider gives % back", s.reinstated("", 10_00))
		s.post("The dispute is closed", s.closed())
	}},
	"dispute-lost-jpy": {"JPY", func(s *teller) {
		s.sale(1200)
		s.post("A dispute over % is opened", s.opened(1200))
		s.post("The provider takes %", s.withdrawn(1200))
		s.post("It keeps a fee of % for the dispute", s.entry(Fee, "", 1500))
		s.post("Lost: the dispute is closed", s.closed())
	}},
	"dispute-lost-won-kwd": {"KWD", func(s *teller) {
		s.sale(4_250)
		s.post("The waiting time is over: released", s.release())
		s.payOut(3_612)
		s.post("A dispute over % is opened", s.opened(4_250))
		s.post("The provider takes %", s.withdrawn(4_250))
		s.post("Lost: the dispute is closed", s.closed())
		s.post("Won after all: the provider gives % back", s.reinstated("", 4_250))
		s.post("What came back is free", s.closed())
	}},
	"dispute-part-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("A dispute over % is opened", s.opened(4_00))
		s.post("% goes back all the same", s.refund("1", 7_00))
		s.post("The dispute is closed, and took nothing", s.closed())
	}},
	"dispute-refunded-usd": {"USD", func(s *teller) {
		s.sale(10_00)
		s.post("% goes back", s.refund("1", 4_00))
		s.post("A dispute over % is opened", s.opened(10_00))
		s.post("The provider takes %", s.withdrawn(10_00))
		s.post("Lost: the dispute is closed", s.closed())
	}},
}

// columns are the accounts in the order of the tables.
var columns = []struct{ kind, title string }{
	{clearing, "clearing"},
	{fees, "fees"},
	{revenue, "revenue"},
	{suspense, "suspense"},
	{writeOff, "write-off"},
	{pending, "pending"},
	{held, "held"},
	{available, "available"},
	{debt, "debt"},
	{"in_flight", "in flight"},
}

// tell runs a story and returns its table.
func (w *world) tell(t *testing.T, name string) string {
	t.Helper()
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(background()) }()
	s := &teller{T: t, w: w, tx: tx}
	s.creator, s.currency = newCreator(t, w.pool), stories[name].currency
	stories[name].rows(s)
	require.Empty(t, broken(t, tx), name)

	// The last row is what the database says, not the sum of the rows.
	stands, err := sums(t.Context(), tx)
	require.NoError(t, err)
	told := lines{}
	for _, r := range s.rows {
		for kind, amount := range r.lines {
			told[kind] += amount
		}
	}
	require.Equal(t, stands, told, name)
	return s.table(append(s.rows, row{"**What stands**", stands}))
}

func sums(ctx context.Context, q pg.DBTX) (lines, error) {
	rows, err := q.Query(ctx, `SELECT a.kind, sum(p.amount)::bigint FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	out := lines{}
	var kind string
	var amount int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &amount}, func() error {
		out[kind] = amount
		return nil
	})
	return out, err
}

// table leaves out the accounts that a story never touches.
func (s *teller) table(rows []row) string {
	var head, rule, body strings.Builder
	for i, r := range rows {
		total := int64(0)
		body.WriteString("| " + r.what + " |")
		for _, c := range columns {
			if _, ok := rows[len(rows)-1].lines[c.kind]; !ok {
				continue
			}
			if i == 0 {
				head.WriteString(" " + c.title + " |")
				rule.WriteString("---:|")
			}
			cell := s.signed(r.lines[c.kind])
			if cell == "" && i == len(rows)-1 {
				cell = money.Amount{Currency: s.currency}.Decimal()
			}
			body.WriteString(" " + cell + " |")
			total += r.lines[c.kind]
		}
		require.Zero(s, total, r.what)
		body.WriteString("\n")
	}
	return "| " + s.currency + " |" + head.String() + "\n|---|" + rule.String() + "\n" + body.String()
}

func (s *teller) signed(amount int64) string {
	text := money.Amount{Minor: amount, Currency: s.currency}.Decimal()
	switch {
	case amount > 0:
		return "+" + text
	case amount == 0:
		return ""
	}
	return text
}

// The tables of docs/money.md are what the ledger posts in a real database.
// make generate writes them.
func TestMoneyDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, err := os.ReadFile(moneyDocument)
	require.NoError(t, err)
	told := map[string]bool{}
	text := regexp.MustCompile(`(?s)(<!-- example (\S+): written by make generate -->\n).*?(<!-- end of example -->)`).
		ReplaceAllStringFunc(string(old), func(found string) string {
			begin, _, _ := strings.Cut(found, "\n")
			name := strings.TrimSuffix(strings.TrimPrefix(begin, "<!-- example "), ": written by make generate -->")
			require.Contains(t, stories, name, "docs/money.md has an example that is not there")
			told[name] = true
			return begin + "\n" + w.tell(t, name) + "<!-- end of example -->"
		})
	require.Len(t, told, len(stories), "docs/money.md lacks an example: %v", told)
	if *write {
		if text != string(old) {
			require.NoError(t, os.WriteFile(moneyDocument, []byte(text), 0o644)) //nolint:gosec // it is for everybody
		}
		return
	}
	require.Equal(t, text, string(old), "docs/money.md is not what the ledger does: run make generate")
}
