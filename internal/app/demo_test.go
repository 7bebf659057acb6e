package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/account"
	"proofroom/internal/proof/demo"
	"proofroom/internal/proof/twin"
)

// The demonstration, as its users run it: as a program.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", dir, "proofroom/cmd/proofroom", "proofroom/cmd/darkroom")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	program := filepath.Join(dir, "proofroom")
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		demoOnce(t, program)
	})
	t.Run("tour", func(t *testing.T) {
		t.Parallel()
		demoTour(t, program)
	})
	t.Run("bench", func(t *testing.T) {
		t.Parallel()
		benchSmall(t, program)
	})
}

// demoOnce proves that everything adds up.
func demoOnce(t *testing.T, program string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "demo", "--once", "--json")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	last := out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]

	dec := json.NewDecoder(bytes.NewReader(last))
	dec.DisallowUnknownFields()
	var r demo.Report
	require.NoError(t, dec.Decode(&r), "%s", last)
	require.True(t, r.OK)
	require.Less(t, r.Seconds, 90.0)
	require.GreaterOrEqual(t, r.Orders.Created, r.Orders.Paid)
	require.GreaterOrEqual(t, r.Orders.Paid, 200)
	require.Len(t, r.Orders.ByProvider, 3)
	for _, p := range []string{twin.Stripe, twin.PayPal, twin.Flutterwave} {
		require.GreaterOrEqual(t, r.Orders.ByProvider[p], 50, p)
	}
	require.Zero(t, r.Orders.Review)
	require.GreaterOrEqual(t, r.Duplicates, 50)
	for what, n := range map[string]int{
		"refunded": r.Orders.Refunded, "forged": r.Forged, "out of order": r.OutOfOrder, "dropped": r.Dropped, "downloads": r.Downloads.Verified,
	} {
		require.GreaterOrEqual(t, n, 10, what)
	}
	for what, n := range map[string]int{
		"in part": r.Orders.Partly, "disputes": r.Disputes, "late": r.Late, "surplus": r.Surplus, "healed by the poller": r.HealedByPoller,
	} {
		require.GreaterOrEqual(t, n, 5, what)
	}
	require.GreaterOrEqual(t, r.Ledger.Postings, 3*r.Orders.Paid)
	require.Zero(t, r.Ledger.Imbalance)
	require.True(t, r.Recount.OK)
	require.Less(t, r.ServerRSS, 150.0)
	require.NotEmpty(t, r.Invariants)
	for _, i := range r.Invariants {
		require.True(t, i.OK, i.ID)
		require.Positive(t, i.Rows, i.ID)
		require.Zero(t, i.Violations, i.ID)
	}

	var shape map[string]any
	require.NoError(t, json.Unmarshal(last, &shape))
	for _, key := range []string{
		"ok", "seconds", "orders", "webhooks", "ledger", "disputes", "late", "surplus", "healed_by_poller",
		"downloads", "invariants", "recount", "server_rss_mb",
	} {
		require.Contains(t, shape, key)
	}
}

// A folder that holds something is not begun anew.
func TestDemoOnceBeginsFromNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
	var stderr bytes.Buffer
	require.Equal(t, 1, Main([]string{"demo", "--once", "--data-dir", dir}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "is not empty")
	require.Len(t, strings.Split(strings.TrimSpace(stderr.String()), "\n"), 1, "one line says what to do")
}

// show starts the demonstration in a folder and returns once everything runs.
func show(t *testing.T, program, dir string) (demo.Running, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(program, "demo", "--json", "--data-dir", dir)
	// An empty cache: pictures are drawn, and no test depends on what was fetched.
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "PROOFROOM_STRIPE_SECRET_KEY=sk_live_never_used")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var running demo.Running
	require.NoError(t, json.NewDecoder(out).Decode(&running))
	return running, cmd
}

// interrupt ends the demonstration as Ctrl-C does.
func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), "an orderly end is a success")
}

// gone reports whether nothing answers at an address.
func gone(address string) bool {
	res, err := http.Get(address) //nolint:gosec // an address of ours
	if err == nil {
		_ = res.Body.Close()
	}
	return err != nil
}

// demoTour proves that the tour of README.md does the whole job, and that a
// demonstration that was stopped, or killed, goes on with what it had.
func demoTour(t *testing.T, program string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // as root, the database is run by another user
	require.NoError(t, os.Chmod(dir, 0o711))
	first, cmd := show(t, program, dir)
	require.Len(t, first.Events, 3)
	require.Len(t, first.Accounts, 3)

	out := tour(t, first)
	for _, want := range []string{`"slug":"ridge-run"`, `"total":1200`, `"state":"paid"`, "206", "etag: ", `"amount":1200`, `"photo.not_owned"`} {
		require.Contains(t, strings.ToLower(out), want)
	}
	require.True(t, strings.HasSuffix(out, "\nrefunded\n"), out)
	interrupt(t, cmd)
	require.True(t, gone(first.Shop), "it has ended")

	second, cmd := show(t, program, dir)
	require.Equal(t, first.Events, second.Events)
	require.Equal(t, first.Accounts, second.Accounts)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, address := range []string{second.Shop, second.Provider} {
		require.Eventually(t, func() bool { return gone(address) }, 20*time.Second, 50*time.Millisecond, "nothing outlives what was killed")
	}

	third, cmd := show(t, program, dir)
	require.Equal(t, first.Events, third.Events)
	interrupt(t, cmd)
}

// tour runs the commands of README.md against a demonstration and returns what
// they print.
func tour(t *testing.T, running demo.Running) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "## Tour")
	require.True(t, ok)
	section, _, _ := strings.Cut(rest, "\n## ")
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		script.WriteString(block[1])
	}
	text := regexp.MustCompile(`(?m)^SHOP=.*`).ReplaceAllLiteralString(script.String(), "SHOP="+running.Shop)
	for _, a := range running.Accounts {
		if a.Role == account.Operator {
			text = regexp.MustCompile(`(?m)^OPERATOR=.*`).ReplaceAllLiteralString(text, "OPERATOR="+a.Token)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-c", text)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestReadmeIsCurrent(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	current, err := UpdateReadme(string(readme))
	require.NoError(t, err)
	require.Equal(t, current, string(readme), "run make generate")
}

// The recount must find what was falsified. Each case is a database in which one
// thing is not what it was.
func TestRecountFindsWhatWasFalsified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	operator, _, err := w.srv.Accounts.Provision(t.Context(), "op@example.com", "", "test", []account.Role{account.Operator})
	require.NoError(t, err)
	pay := func(ref string, r twin.PayRequest) string {
		t.Helper()
		res, err := w.twin.Pay(t.Context(), ref, r)
		require.NoError(t, err)
		return res.Page.Ref
	}
	sell := func(provider string, photos ...int) (orderID, ref string) {
		t.Helper()
		var cart []uuid.UUID
		for _, n := range photos {
			cart = append(cart, w.photos[n])
		}
		orderID, ref = w.orderAt(provider, w.guest(), "key", cart...)
		pay(ref, twin.PayRequest{})
		w.reaches(orderID, "paid")
		return orderID, ref
	}
	refund := func(orderID string, lines ...string) {
		t.Helper()
		body := map[string]any{"reason": "x"}
		if len(lines) > 0 {
			body["lines"] = lines
		}
		require.Equal(t, http.StatusAccepted, w.call("POST", "/api/v1/orders/"+orderID+"/refunds", operator, orderID, body).status)
	}
	dispute := func(ref string) string {
		t.Helper()
		pages, err := w.twin.Pages(t.Context(), twin.PageFilter{Ref: ref})
		require.NoError(t, err)
		require.Len(t, pages, 1)
		d, err := w.twin.OpenDispute(t.Context(), twin.DisputeOrder{Payment: pages[0].Payments[0]})
		require.NoError(t, err)
		return d.ID
	}

	unpaid, _ := w.orderAt(twin.Stripe, w.guest(), "key", w.photos[2])
	paid, _ := sell(twin.Flutterwave, 0)
	back, _ := sell(twin.PayPal, 1)
	refund(back)
	w.reaches(back, "refunded")
	part, _ := sell(twin.PayPal, 0, 1)
	var line string
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), `SELECT id::text FROM order_lines WHERE order_id = $1 LIMIT 1`, part).Scan(&line))
	refund(part, line)
	w.reaches(part, "partially_refunded")
	open, ref := sell(twin.Stripe, 0)
	dispute(ref)
	w.reaches(open, "disputed")
	lost, ref := sell(twin.PayPal, 0)
	id := dispute(ref)
	w.reaches(lost, "disputed")
	_, err = w.twin.MoveDispute(t.Context(), id, twin.DisputeLost)
	require.NoError(t, err)
	late, ref := w.orderAt(twin.Stripe, w.guest(), "key", w.photos[0])
	_, err = w.twin.Expire(t.Context(), ref)
	require.NoError(t, err)
	w.reaches(late, "expired")
	pay(ref, twin.PayRequest{Force: true})
	w.reaches(late, "paid")
	twice, ref := sell(twin.Flutterwave, 3)
	pay(ref, twin.PayRequest{Force: true})
	require.NoError(t, w.twin.Quiet(t.Context(), 10*time.Second))
	w.until("all is done", func() bool {
		return w.count(`SELECT (SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored'))
			+ (SELECT count(*) FROM refund_requests WHERE state = 'requested')`) == 0
	})

	claimed, err := demo.Count(t.Context(), w.db.Owner, w.twin, demo.Witness{})
	require.NoError(t, err)
	require.Equal(t, demo.Orders{
		Created: 8, Paid: 7, Refunded: 1, Partly: 1, ByProvider: map[string]int{twin.Stripe: 2, twin.PayPal: 3, twin.Flutterwave: 2},
	}, claimed.Orders)
	require.Equal(t, []int{2, 1, 1}, []int{claimed.Disputes, claimed.Late, claimed.Surplus})

	recount := func(claimed demo.Report) []string {
		problems, err := demo.Recount(t.Context(), w.db.Owner, w.twin, claimed)
		require.NoError(t, err)
		return problems
	}
	require.Empty(t, recount(claimed), "nothing is falsified yet")

	for name, lie := range map[string]func(*demo.Report){
		"paid": func(r *demo.Report) { r.Orders.Paid++ }, "received": func(r *demo.Report) { r.Received++ },
		"disputes": func(r *demo.Report) { r.Disputes++ }, "late": func(r *demo.Report) { r.Late++ },
		"surplus": func(r *demo.Report) { r.Surplus++ }, "healed": func(r *demo.Report) { r.HealedByPoller++ },
		"dropped": func(r *demo.Report) { r.Dropped++ },
		"provider": func(r *demo.Report) {
			r.Orders.ByProvider = map[string]int{twin.Stripe: 3, twin.PayPal: 2, twin.Flutterwave: 2}
		},
	} {
		wrong := claimed
		lie(&wrong)
		require.NotEmpty(t, recount(wrong), "a number that was made up: %s", name)
	}

	for name, falsify := range map[string]string{
		"paid without money":       `UPDATE orders SET paid_at = now(), state = 'paid' WHERE id = '` + unpaid + `'`,
		"money that is not ours":   `UPDATE payments SET amount = amount + 1 WHERE order_id = '` + paid + `'`,
		"a sale forgotten":         `UPDATE orders SET paid_at = NULL WHERE id = '` + paid + `'`,
		"another price":            `UPDATE orders SET gross = gross + 100 WHERE id = '` + paid + `'`,
		"a refund forgotten":       `DELETE FROM refunds WHERE order_id = '` + back + `'`,
		"a refund of another sum":  `UPDATE refunds SET amount = amount - 1 WHERE order_id = '` + back + `'`,
		"access after the refund":  `UPDATE entitlements SET revoked_at = NULL WHERE order_id = '` + back + `'`,
		"access to what went back": `UPDATE entitlements SET revoked_at = NULL WHERE order_id = '` + part + `'`,
		"access taken away":        `UPDATE entitlements SET revoked_at = now() WHERE order_id = '` + paid + `'`,
		"access to the other line": `UPDATE entitlements SET revoked_at = now() WHERE order_id = '` + part + `'`,
		"access without money":     `UPDATE entitlements SET order_id = '` + unpaid + `' WHERE order_id = '` + paid + `'`,
		"access while disputed":    `UPDATE entitlements SET frozen_at = NULL WHERE order_id = '` + open + `'`,
		"access frozen for all":    `UPDATE entitlements SET frozen_at = now() WHERE order_id = '` + paid + `'`,
		"access after a dispute":   `UPDATE entitlements SET revoked_at = NULL WHERE order_id = '` + lost + `'`,
		"a dispute forgotten":      `DELETE FROM disputes WHERE order_id = '` + open + `'`,
		"a dispute won":            `UPDATE disputes SET outcome = 'won' WHERE order_id = '` + lost + `'`,
		"a dispute over less":      `UPDATE disputes SET amount = amount - 1 WHERE order_id = '` + open + `'`,
		"late money in time":       `DELETE FROM order_history WHERE order_id = '` + late + `'`,
		"a payment forgotten":      `DELETE FROM payments WHERE (provider, payment_id) IN (SELECT provider, payment_id FROM payments WHERE order_id = '` + twice + `' LIMIT 1)`,
		"a posting lost":           `DELETE FROM ledger_postings WHERE (entry_id, seq) IN (SELECT entry_id, seq FROM ledger_postings LIMIT 1)`,
		"clearing and pending off": `UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id IN (SELECT id FROM ledger_entries WHERE order_id = '` + paid + `')`,
		"a fee forgotten":          `DELETE FROM ledger_postings WHERE entry_id IN (SELECT id FROM ledger_entries WHERE kind = 'fee' AND order_id = '` + paid + `')`,
		"a message lost":           `DELETE FROM inbox WHERE event_type = 'payment_intent.succeeded'`,
		"a nameless message lost":  `DELETE FROM inbox WHERE event_type = 'charge.completed.successful'`,
		"a message left undone":    `UPDATE inbox SET state = 'received', done_at = NULL WHERE event_type = 'payment_intent.succeeded'`,
		"a message made up": `INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, ready, done_at)
			VALUES (gen_random_uuid(), 'stripe', 'main', 'evt_x', 'pi_x', 'payment_intent.succeeded', 'ignored', '', 'ignored', true, now())`,
	} {
		undo := w.falsify(falsify)
		require.NotEmpty(t, recount(claimed), name)
		undo()
		require.Empty(t, recount(claimed), "after %s was undone", name)
	}
}

// falsify changes the database behind the program's back, and returns what puts
// everything back as it was.
func (w *world) falsify(sql string) (undo func()) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	const tables = "orders order_history payments refunds disputes entitlements ledger_postings inbox"
	run := func(statements ...string) {
		tx, err := w.db.Owner.Begin(ctx)
		require.NoError(w.t, err)
		defer func() { _ = tx.Rollback(ctx) }()
		// Triggers and foreign keys would refuse what is done here.
		for _, s := range append([]string{"SET LOCAL session_replication_role = replica"}, statements...) {
			_, err := tx.Exec(ctx, s)
			require.NoError(w.t, err, s)
		}
		require.NoError(w.t, tx.Commit(ctx))
	}
	var keep, back []string
	for t := range strings.FieldsSeq(tables) {
		columns := w.columns(t)
		keep = append(keep, "CREATE TABLE IF NOT EXISTS kept_"+t+" AS TABLE "+t)
		back = append(back, "DELETE FROM "+t, "INSERT INTO "+t+" ("+columns+") SELECT "+columns+" FROM kept_"+t)
	}
	run(keep...)
	run(sql)
	return func() { run(back...) }
}

// columns are those of a table that can be written: not the computed ones.
func (w *world) columns(table string) string {
	w.t.Helper()
	var list string
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), `SELECT string_agg(column_name, ', ') FROM information_schema.columns
		WHERE table_name = $1 AND is_generated = 'NEVER'`, table).Scan(&list))
	return list
}
