package importdir

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/testkit/pgtest"
)

// childOrder is the environment variable that makes this test binary an import
// that can be killed: what to import, as JSON.
const childOrder = "IMPORT_TEST_ORDER"

type order struct {
	URL, Files, Dir, Event string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childOrder); text != "" {
		if err := importInChild(text); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func importInChild(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx := context.Background()
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: o.URL, Role: pg.AppRole})
	if err != nil {
		return err
	}
	cfg, err := services(ctx, pool, o.Files, nil)
	if err != nil {
		return err
	}
	cfg.Dir, cfg.Event = o.Dir, o.Event
	_, err = Run(ctx, cfg)
	return err
}

// services is a Config without a folder and an event, on behalf of an operator.
func services(ctx context.Context, pool *pgxpool.Pool, dir string, room media.Room) (Config, error) {
	queue, err := jobs.New(jobs.Config{Pool: pool})
	if err != nil {
		return Config{}, err
	}
	files, err := media.OpenStore(ctx, dir)
	if err != nil {
		return Config{}, err
	}
	return Config{
		By:      catalog.By{ID: id.New(), Operator: true},
		Catalog: catalog.New(pool, catalog.Config{}),
		Media:   media.New(pool, files, queue, room, media.Config{MaxBytes: 1 << 20}),
	}, nil
}

// fixture is a database, a store and an event on sale.
type fixture struct {
	Config
	db    *pgtest.DB
	files string
	event catalog.Event
}

func setUp(t *testing.T, room media.Room) fixture {
	t.Helper()
	f := fixture{db: pgtest.New(t), files: t.TempDir()}
	var err error
	f.Config, err = services(t.Context(), f.db.Pool, f.files, room)
	require.NoError(t, err)
	f.Dir = t.TempDir()
	f.event = f.newEvent(t)
	f.Event = f.event.Slug
	return f
}

func (f fixture) newEvent(t *testing.T) catalog.Event {
	t.Helper()
	by := catalog.By{ID: id.New()}
	_, err := f.db.Pool.Exec(t.Context(), `INSERT INTO accounts (id, email, name, password_hash, roles)
		VALUES ($1, $2, 'Ada', 'x', '{creator}')`, by.ID, by.ID.String()+"@example.com")
	require.NoError(t, err)
	e, err := f.Catalog.CreateEvent(t.Context(), catalog.NewEvent{
		CreatorID: by.ID, Title: "Ridge Run", Zone: "Europe/Paris", Starts: "2026-07-14T18:00", Ends: "2026-07-14T23:30",
		Prices: catalog.PriceList{Currency: "EUR", Photo: 300},
	})
	require.NoError(t, err)
	e, err = f.Catalog.Publish(t.Context(), by, e.ID)
	require.NoError(t, err)
	return e
}

func (f fixture) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(f.Dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func (f fixture) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, f.db.Owner.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// photograph is a real one, from an imaging module's test data.
func photograph(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(photographs(), filepath.FromSlash(name)))
	require.NoError(t, err)
	return b
}

var photographs = sync.OnceValue(func() string {
	const module, sum = "github.com/kovidgoyal/imaging@v1.9.0", "h1:TxHvhClPANvDW7eLm7PYDTZU1KE15xbqlFv95DA6DmY="
	var info struct{ Dir, Sum, Error string }
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if json.Unmarshal(out, &info) != nil || info.Error != "" || info.Sum != sum {
		panic(fmt.Sprintf("download %s: %v: %s", module, err, out))
	}
	return info.Dir
})

// another is a photograph with other bytes after its end.
func another(base []byte, n int) []byte { return fmt.Appendf(slices.Clone(base), "%06d", n) }
