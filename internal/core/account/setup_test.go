package account

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

func operatorForm(n int) NewAccount {
	return NewAccount{Email: fmt.Sprintf("op%d@example.com", n), Name: "Op", Password: password}
}

func link(t *testing.T, s *Service) string {
	t.Helper()
	secret, err := s.EnsureSetupLink(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, secret)
	return secret
}

func TestSetupLinkMakesTheFirstOperator(t *testing.T) {
	t.Parallel()
	s := service(t)
	first, second := link(t, s), link(t, s)
	require.NoError(t, s.CheckSetupLink(t.Context(), first))

	// Whatever goes wrong leaves the link usable.
	_, err := s.UseSetupLink(t.Context(), first, NewAccount{})
	require.ErrorIs(t, err, ErrInvalid)
	_, err = s.UseSetupLink(t.Context(), "set_wrong", operatorForm(0))
	require.ErrorIs(t, err, ErrSetupLink)

	a, err := s.UseSetupLink(t.Context(), first, operatorForm(0))
	require.NoError(t, err)
	require.Equal(t, []Role{Attendee, Creator, Operator}, a.Roles)
	require.Equal(t, 1, count(t, s, "SELECT count(*) FROM audit_log WHERE action = 'setup.first_operator' AND account_id = $1", a.ID))

	for _, secret := range []string{first, second} {
		_, err = s.UseSetupLink(t.Context(), secret, operatorForm(1))
		require.ErrorIs(t, err, ErrSetupLink)
	}
	require.ErrorIs(t, s.CheckSetupLink(t.Context(), first), ErrSetupLink)
	none, err := s.EnsureSetupLink(t.Context())
	require.NoError(t, err)
	require.Empty(t, none, "there is an operator")
	require.Equal(t, 1, count(t, s, "SELECT count(*) FROM accounts"))

	_, _, in, err := s.SignIn(t.Context(), "op0@example.com", password, "")
	require.NoError(t, err)
	require.Contains(t, in.Roles, Operator)
}

func TestSetupLinkOfAnExistingAccount(t *testing.T) {
	t.Parallel()
	s := service(t)
	ada := signUp(t, s, "ada@example.com")
	secret := link(t, s)
	_, err := s.UseSetupLink(t.Context(), secret, NewAccount{Email: ada.Email, Name: "Ada", Password: "not her password"})
	require.ErrorIs(t, err, ErrWrongCredentials)
	a, err := s.UseSetupLink(t.Context(), secret, NewAccount{Email: ada.Email, Name: "Ada", Password: password})
	require.NoError(t, err)
	require.Equal(t, ada.ID, a.ID)
	stored, err := s.Account(t.Context(), ada.ID)
	require.NoError(t, err)
	require.Equal(t, []Role{Attendee, Operator}, stored.Roles)
	require.Equal(t, stored.Roles, a.Roles)
}

func TestSetupLinkExpires(t *testing.T) {
	t.Parallel()
	s := service(t)
	secret := link(t, s)
	exec(t, s, "UPDATE setup_links SET expires_at = app_now()")
	require.ErrorIs(t, s.CheckSetupLink(t.Context(), secret), ErrSetupLink)
	_, err := s.UseSetupLink(t.Context(), secret, operatorForm(0))
	require.ErrorIs(t, err, ErrSetupLink)
	fresh := link(t, s)
	require.Equal(t, 1, count(t, s, "SELECT count(*) FROM setup_links"), "the stale one is gone")
	_, err = s.UseSetupLink(t.Context(), fresh, operatorForm(0))
	require.NoError(t, err)
}

// Eight people at once, with one link and with a link each: one operator. They
// are held at the insertion of the account, so that all are past the checks.
func TestSetupLinkIsUsedOnce(t *testing.T) {
	t.Parallel()
	const people = 8
	for name, links := range map[string]int{"one link": 1, "a link each": people} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.New(t)
			s := serviceOn(database)
			secrets := make([]string, links)
			for i := range secrets {
				secrets[i] = link(t, s)
			}
			gate, err := pgx.Connect(t.Context(), database.URL)
			require.NoError(t, err)
			defer func() { _ = gate.Close(context.WithoutCancel(t.Context())) }()
			_, err = gate.Exec(t.Context(), "BEGIN; LOCK TABLE accounts IN SHARE MODE")
			require.NoError(t, err)

			errs := make([]error, people)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, errs[i] = s.UseSetupLink(t.Context(), secrets[i%links], operatorForm(i)) })
			}
			require.Eventually(t, func() bool {
				var waiting int
				_, _ = gate.Exec(t.Context(), "SELECT pg_stat_clear_snapshot()")
				err := gate.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
				return err == nil && waiting == people
			}, 4*time.Second, 5*time.Millisecond)
			_, err = gate.Exec(t.Context(), "COMMIT")
			require.NoError(t, err)
			wg.Wait()

			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				require.ErrorIs(t, err, ErrSetupLink)
			}
			require.Equal(t, 1, won)
			require.Equal(t, 1, count(t, s, "SELECT count(*) FROM accounts"), "a loser leaves no account behind")
			require.Equal(t, 1, count(t, s, "SELECT count(*) FROM accounts WHERE 'operator' = ANY (roles)"))
			require.Equal(t, 1, count(t, s, "SELECT count(*) FROM setup_links WHERE used_at IS NOT NULL"))
			require.Equal(t, 1, count(t, s, "SELECT count(*) FROM audit_log"))
		})
	}
}
