package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "proofroom/"

type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Name,Doc,Imports,TestImports,XTestImports,GoFiles", module+"...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	require.NoError(t, err)
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// levels, lowest first. A level imports every lower one.
var levels = []string{"base", "core", "flow", "edge", "app"}

// inside returns the path below internal/, and its first part.
func inside(path string) (rest, level string, ok bool) {
	rest, ok = strings.CutPrefix(path, module+"internal/")
	level, _, _ = strings.Cut(rest, "/")
	return rest, level, ok
}

// domain is the second part: core/order.
func domain(rest string) string {
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 {
		return rest
	}
	return parts[0] + "/" + parts[1]
}

// siblings are the only imports allowed between domains of core.
var siblings = map[string][]string{
	"core/media":       {"core/catalog"},
	"core/order":       {"core/catalog", "core/payment"},
	"core/entitlement": {"core/order", "core/catalog"},
	"core/face":        {"core/media"},
}

// forbidden says why from may not import to, or nothing.
func forbidden(from, to string) string {
	f, fl, okf := inside(from)
	t, tl, okt := inside(to)
	if !okt {
		return ""
	}
	if !okf { // cmd, assets, migrations
		if from == module+"migrations" {
			return "migrations import nothing"
		}
		return ""
	}
	fi, ti := slices.Index(levels, fl), slices.Index(levels, tl)
	switch {
	case domain(f) == domain(t):
		return ""
	case tl == "testkit":
		if fl == "testkit" {
			return ""
		}
		return "testkit is for tests"
	case fl == "testkit":
		return ""
	case tl == "proof" && fl != "app" && fl != "proof":
		return "only app imports proof"
	case tl == "app" && fl != "app":
		return "nothing imports app"
	case fl == "proof":
		return ""
	case fl == "darkroom":
		if tl == "base" || tl == "darkroom" {
			return ""
		}
		return "the darkroom imports only base and its own protocol: it opens bytes from strangers"
	case tl == "darkroom":
		if t == "darkroom/wire" && strings.HasPrefix(f, "core/media") || fl == "app" {
			return ""
		}
		return "only core/media speaks the darkroom's protocol, and nobody links the darkroom"
	case fi < ti:
		return "a level imports only lower ones: " + strings.Join(levels, " < ")
	case fl == "flow" && tl == "flow":
		return "flows do not import each other: one starts another by a row and a job"
	case fl == "core" && tl == "core" && !slices.Contains(siblings[domain(f)], domain(t)):
		return "between domains of core only the listed imports are allowed"
	}
	return ""
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, to := range p.Imports {
			if why := forbidden(p.ImportPath, to); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, why)
			}
		}
		for _, to := range append(p.TestImports, p.XTestImports...) {
			rest, level, ok := inside(to)
			if ok && (level == "testkit" || rest == "proof/twin" || strings.HasPrefix(rest, "proof/twin/")) {
				continue
			}
			if why := forbidden(p.ImportPath, to); why != "" {
				t.Errorf("tests of %s import %s: %s", p.ImportPath, to, why)
			}
		}
	}
}

// The rules must be able to say no.
func TestImportsCanFail(t *testing.T) {
	t.Parallel()
	for _, bad := range [][2]string{
		{"base/pg", "core/order"},
		{"core/order", "flow/settle"},
		{"core/ledger", "core/order"},
		{"flow/checkout", "flow/inbox"},
		{"flow/checkout", "edge/httpapi"},
		{"flow/checkout", "testkit/pgtest"},
		{"edge/httpapi", "proof/twin"},
		{"core/catalog", "darkroom/wire"},
		{"core/media", "darkroom"},
		{"darkroom", "core/media"},
		{"proof/verify", "app"},
	} {
		require.NotEmpty(t, forbidden(module+"internal/"+bad[0], module+"internal/"+bad[1]), "%s -> %s", bad[0], bad[1])
	}
	for _, good := range [][2]string{
		{"app", "proof/twin"},
		{"core/media/pool", "darkroom/wire"},
		{"flow/settle", "core/ledger"},
		{"core/order", "core/order/internal/db"},
	} {
		require.Empty(t, forbidden(module+"internal/"+good[0], module+"internal/"+good[1]), "%s -> %s", good[0], good[1])
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 || strings.HasSuffix(p.ImportPath, "/internal/db") || strings.Contains(p.ImportPath, "/zz_deps") {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say its purpose, what it owns, its invariants and its concurrency in doc.go", p.ImportPath)
		}
	}
}

// owners of tables. Its queries name no table of another domain.
var owners = map[string][]string{
	"account":     {"accounts", "sessions", "api_tokens", "guest_sessions", "setup_links", "mail_links", "mail_link_tokens", "audit_log"},
	"catalog":     {"events", "price_bundles", "photos"},
	"media":       {"blobs"},
	"payment":     {"inbox", "webhook_refusals"},
	"order":       {"orders", "order_lines", "reservations", "open_orders", "attempts", "payments", "refund_requests", "refunds", "open_refunds", "disputes", "dispute_movements", "decisions", "order_history", "order_claims"},
	"entitlement": {"entitlements"},
	"ledger":      {"ledger_accounts", "ledger_entries", "ledger_postings", "wallets"},
	"outbox":      {"messages"},
	"idempotency": {"idempotency_keys"},
	"schedule":    {"schedule_slots"},
	"ratelimit":   {"rate_limits"},
}

var (
	tableName = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:ONLY\s+)?([a-z_]+)\b`)
	notTables = regexp.MustCompile(`(?i)\b(?:NO KEY UPDATE|FOR UPDATE|DO UPDATE|DISTINCT FROM|epoch FROM)\b`)
	created   = regexp.MustCompile(`(?m)^CREATE (?:UNLOGGED )?TABLE ([a-z_]+)`)
)

func allTables(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "migrations", "*.sql"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	tables := map[string]bool{}
	for _, f := range files {
		sql, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range created.FindAllSubmatch(sql, -1) {
			tables[string(m[1])] = true
		}
	}
	return tables
}

// foreign lists the tables that the queries name and the domain does not own.
func foreign(sql, domain string, tables map[string]bool) []string {
	var out []string
	for line := range strings.SplitSeq(sql, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		line = notTables.ReplaceAllString(line, "")
		for _, m := range tableName.FindAllStringSubmatch(line, -1) {
			if name := strings.ToLower(m[1]); tables[name] && !slices.Contains(owners[domain], name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func TestTablesHaveOneOwner(t *testing.T) {
	t.Parallel()
	tables := allTables(t)
	files, err := filepath.Glob(filepath.Join(root(t), "internal", "core", "*", "queries.sql"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		sql, err := os.ReadFile(f)
		require.NoError(t, err)
		d := filepath.Base(filepath.Dir(f))
		for _, name := range foreign(string(sql), d, tables) {
			t.Errorf("internal/core/%s/queries.sql names %s, which it does not own", d, name)
		}
	}
	owned := map[string]bool{}
	for d, names := range owners {
		for _, n := range names {
			require.Truef(t, tables[n], "%s is said to own %s, which no migration makes", d, n)
			require.Falsef(t, owned[n], "%s has two owners", n)
			owned[n] = true
		}
	}
	for n := range tables {
		if n != "schema_support" {
			require.Truef(t, owned[n], "nobody owns table %s", n)
		}
	}
	require.NotEmpty(t, foreign("SELECT 1 FROM orders", "ledger", tables), "the check must be able to fail")
}

// Files stay readable.
func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if strings.HasSuffix(p.ImportPath, "/internal/db") {
			continue
		}
		for _, f := range p.GoFiles {
			if strings.HasSuffix(f, "_templ.go") || strings.HasSuffix(f, ".gen.go") {
				continue
			}
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			require.NoError(t, err)
			if n := bytes.Count(src, []byte("\n")); n > 600 {
				t.Errorf("%s/%s has %d lines: split it by subject", p.ImportPath, f, n)
			}
		}
	}
}

// TestOnlyOwnersSpeakOfTables: above core nobody names a table. Strings in Go code
// are looked at as queries are.
func TestOnlyOwnersSpeakOfTables(t *testing.T) {
	t.Parallel()
	tables := allTables(t)
	for _, level := range []string{"flow", "edge", "app"} {
		err := filepath.WalkDir(filepath.Join(root(t), "internal", level), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "SELECT") {
					for _, name := range foreign(lit.Value, "", tables) {
						t.Errorf("%s reads table %s: its owner in core does that", path, name)
					}
				}
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
}
