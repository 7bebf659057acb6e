package verify

import (
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

func TestParseRequired(t *testing.T) {
	t.Parallel()
	got, err := parseRequired([]byte("# what must be seen\n\none payment\n  the price is paid # of orders\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"one payment", "the price is paid"}, got)
	_, err = parseRequired([]byte("a\nb\na\n"))
	require.ErrorContains(t, err, `line 3 names "a" again`)
	require.NotEmpty(t, Required())
}

func TestCheckCutSets(t *testing.T) {
	t.Parallel()
	scenarios := []Scenario{{ID: "X01"}}
	good := CutSet{Name: "a", Members: []string{"order.lock", "uq_payment"}, By: []string{"X01"}, Breaks: []string{"I1"}}
	require.NoError(t, CheckCutSets([]CutSet{good}, scenarios, []string{"a"}))
	require.ErrorContains(t, CheckCutSets([]CutSet{good, good}, scenarios, nil), "defined twice")
	require.ErrorContains(t, CheckCutSets([]CutSet{good}, scenarios, []string{"b"}), `required.txt names "b"`)
	bad := good
	bad.Members = []string{"order.lok"}
	require.ErrorContains(t, CheckCutSets([]CutSet{bad}, scenarios, nil), "which no code defines")
	bad = good
	bad.By = []string{"X02"}
	require.ErrorContains(t, CheckCutSets([]CutSet{bad}, scenarios, nil), "which is no scenario")
	require.ErrorContains(t, CheckCutSets([]CutSet{{Name: "empty"}}, scenarios, nil), "no members")
}

// Guards of the database are found by name, whatever they are, and really go.
func TestRemoveGuards(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	members := []string{"uq_payment", "uq_ledger_entry", "wallet_debt", "ledger_entries_whole", "order.lock"}
	code, err := removeGuards(t.Context(), db.Owner, members)
	require.NoError(t, err)
	require.Equal(t, []string{"order.lock"}, code, "what is in code is told to the process")
	for _, m := range members[:4] {
		_, err := removeGuards(t.Context(), db.Owner, []string{m})
		require.ErrorContains(t, err, "no constraint, index or trigger", "%s is gone", m)
	}
}

func TestUnproven(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	got, err := unproven(t.Context(), db.Owner, []CutSet{{Members: []string{"order.lock", "uq_payment"}}})
	require.NoError(t, err)
	require.Contains(t, got, "settle.rank")
	require.Contains(t, got, "uq_refund")
	require.NotContains(t, got, "order.lock")
	require.NotContains(t, got, "uq_payment")
}

func TestRed(t *testing.T) {
	t.Parallel()
	findings := []Finding{{"I2", "payment twice x"}, {"I2", "surplus y"}, {"twin.books", "z"}}
	require.Equal(t, []string{"I2"}, red(findings, []string{"I2: payment twice"}))
	require.Equal(t, []string{"I2", "twin.books"}, red(findings, []string{"I2", "twin.books"}))
	require.Empty(t, red(findings, []string{"I3", "I2: refund twice"}), "another promise that breaks is not this one's proof")
}
