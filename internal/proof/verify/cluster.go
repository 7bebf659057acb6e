package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
)

// Prices of the one event of every world, in euro cents.
const (
	Currency    = "EUR"
	pricePhoto  = 500
	priceThree  = 1200 // any three
	PriceEvent  = 3000
	photosToBuy = 12
)

// stock is what every world starts with.
type stock struct {
	operator string // the operator's token
	creator  string // the token of the event's creator
	event    uuid.UUID
	photos   []uuid.UUID
}

// scratchSettings trade durability for speed, for worlds in which PostgreSQL
// itself does not crash. Everything else is as in production.
var scratchSettings = map[string]string{
	"fsync":              "off",
	"full_page_writes":   "off",
	"shared_buffers":     "128MB",
	"max_connections":    "300",
	"wal_level":          "minimal",
	"max_wal_senders":    "0",
	"checkpoint_timeout": "1h",
}

// durableSettings leave all of that as in production, for worlds in which it does.
var durableSettings = map[string]string{
	"shared_buffers":  "128MB",
	"max_connections": "200",
}

// crampedSettings also fit on a small disk.
var crampedSettings = map[string]string{
	"shared_buffers":  "64MB",
	"max_connections": "100",
	"wal_init_zero":   "on",
	"min_wal_size":    "32MB",
	"max_wal_size":    "64MB",
}

// template is the database that worlds are copied from.
const template = "world_template"

// cluster is the private PostgreSQL of one run.
type cluster struct {
	dir    string
	config embedded.Config
	server *embedded.Server
	admin  *pgxpool.Pool
	stock  stock
	made   atomic.Int64
}

// startCluster starts it and makes the template: the schema, and one event.
func startCluster(ctx context.Context, parent string, settings map[string]string) (_ *cluster, err error) {
	c := &cluster{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.dir, err = os.MkdirTemp(parent, "prf-verify-pg-"); err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	c.config = embedded.Config{DataDir: c.dir, Settings: settings}
	if err := c.restart(ctx); err != nil {
		return nil, err
	}
	if c.admin, err = pg.Open(ctx, pg.PoolConfig{URL: c.server.URL("postgres"), MaxConns: 4, Name: "proofroom verify"}); err != nil {
		return nil, err
	}
	if _, err := c.admin.Exec(ctx, "CREATE DATABASE "+template); err != nil {
		return nil, fmt.Errorf("make the template: %w", err)
	}
	if err := pg.Migrate(ctx, c.server.URL(template)); err != nil {
		return nil, err
	}
	if err := c.fill(ctx); err != nil {
		return nil, fmt.Errorf("fill the template: %w", err)
	}
	return c, nil
}

// restart starts the server, at first or when it was given up. Its address stays.
func (c *cluster) restart(ctx context.Context) error {
	server, err := embedded.Start(ctx, c.config)
	if err != nil {
		return fmt.Errorf("start a scratch PostgreSQL: %w", err)
	}
	c.server = server
	return nil
}

// fill puts one event with photographs up. It leaves no connection behind, since
// a template that somebody is connected to cannot be copied.
func (c *cluster) fill(ctx context.Context) error {
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: c.server.URL(template), MaxConns: 2, Name: "proofroom verify"})
	if err != nil {
		return err
	}
	defer pool.Close()
	accounts := account.New(pool)
	token, creator, err := accounts.Provision(ctx, "creator@example.com", "", "verify", []account.Role{account.Creator})
	if err != nil {
		return err
	}
	if c.stock.operator, _, err = accounts.Provision(ctx, "operator@example.com", "", "verify", []account.Role{account.Operator}); err != nil {
		return err
	}
	c.stock.creator = token
	shop := catalog.New(pool, catalog.Config{
		HasOrders: func(context.Context, pg.DBTX, uuid.UUID) (bool, error) { return false, nil },
	})
	event, err := shop.CreateEvent(ctx, catalog.NewEvent{
		CreatorID: creator, Title: "Harbour run", Visibility: catalog.Public, CommissionBps: 1500, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00",
		Prices: catalog.PriceList{Currency: Currency, Photo: pricePhoto, Event: PriceEvent, Bundles: []catalog.Bundle{{Photos: 3, Price: priceThree}}},
	})
	if err != nil {
		return err
	}
	if _, err := shop.Publish(ctx, catalog.By{ID: creator}, event.ID); err != nil {
		return err
	}
	c.stock.event = event.ID
	for i := range photosToBuy {
		photo := id.New()
		_, err := pool.Exec(ctx, `INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
			VALUES ($1, $2, $3, sha256($4), $5, 'ready', 1500, 1000)`, photo, event.ID, creator, photo[:], fmt.Sprintf("photo-%d.jpg", i))
		if err != nil {
			return err
		}
		c.stock.photos = append(c.stock.photos, photo)
	}
	return nil
}

// clone makes a world's database.
func (c *cluster) clone(ctx context.Context) (name, url string, err error) {
	name = fmt.Sprintf("world_%d", c.made.Add(1))
	err = poll(ctx, startPatience, "the template is free", func() (bool, error) {
		_, err := c.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY FILE_COPY")
		var busy *pgconn.PgError
		if errors.As(err, &busy) && busy.Code == "55006" {
			return false, nil // a session ends a little after its client
		}
		return err == nil, err
	})
	if err != nil {
		return "", "", fmt.Errorf("copy the template: %w", err)
	}
	return name, c.server.URL(name), nil
}

func (c *cluster) drop(ctx context.Context, name string) error {
	_, err := c.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}

func (c *cluster) close() {
	if c.admin != nil {
		c.admin.Close()
	}
	if c.server != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // its data is thrown away, so it need not stop in order
		_ = c.server.Stop(ctx)
	}
	_ = os.RemoveAll(c.dir)
}

// fastest is where scratch folders go: memory if there is plenty, since copying
// a template is three hundred small files; else the temporary folder.
func fastest() string {
	const memory, plenty = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < plenty {
		return ""
	}
	return memory
}

// Binaries are the two builds of the program.
type Binaries struct {
	Release  string
	Proof    string // empty: it is not there
	Darkroom string // empty: it is not there
}

// FindBinaries finds both builds beside the file self, which is one of them.
func FindBinaries(self string) (Binaries, error) {
	dir := filepath.Dir(self)
	b := Binaries{Release: filepath.Join(dir, "proofroom"), Proof: filepath.Join(dir, "proofroom-proof")}
	if name := filepath.Base(self); name != "proofroom" && name != "proofroom-proof" {
		b.Release, b.Proof = self, self+"-proof"
	}
	if _, err := os.Stat(b.Release); err != nil {
		return b, fmt.Errorf("the program itself is not where it was started from: %w", err)
	}
	if _, err := os.Stat(b.Proof); errors.Is(err, os.ErrNotExist) {
		b.Proof = ""
	}
	if room := filepath.Join(dir, "darkroom"); exists(room) {
		b.Darkroom = room
	}
	return b, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// environment is this process's own without the program's settings, which must
// not leak into worlds.
func environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PROOFROOM_") {
			out = append(out, e)
		}
	}
	return out
}
