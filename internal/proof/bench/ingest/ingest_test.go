package ingest

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/assets"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/testkit/pgtest"
)

// A photograph's bytes are its own, and the picture in it is the same.
func TestNoted(t *testing.T) {
	t.Parallel()
	picture := assets.Generated(1, 90, 60)
	first, second := noted(picture, 4), noted(picture, 5)
	require.NotEqual(t, first, second)
	require.Equal(t, first, noted(picture, 4))
	head, err := jpeg.DecodeConfig(bytes.NewReader(first))
	require.NoError(t, err)
	require.Equal(t, 90, head.Width)
	// Read by eye: Make at the first place of the first table, the orientation 6
	// in the upper half of its value, the time in the second table.
	text := exif("Proofroom", "Bench 4", 6, "2026:06:12 18:30:28")
	require.Equal(t, []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05\x01\x0f"), text[:18])
	require.Contains(t, string(text), "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00")
	require.Contains(t, string(text), "\x90\x03\x00\x02\x00\x00\x00\x14")
}

// store is an event whose photographs are ready, with files of a size.
type store struct {
	*pgtest.DB
	dir   string
	event uuid.UUID
}

func newStore(t *testing.T, n int) *store {
	t.Helper()
	s := &store{DB: pgtest.New(t), dir: t.TempDir()}
	_, creator, err := account.New(s.Owner).Provision(t.Context(), "ada@example.com", "", "test", []account.Role{account.Creator})
	require.NoError(t, err)
	s.event, err = (&shop{db: s.Owner, by: catalog.By{ID: creator}}).event(t.Context(), "Run")
	require.NoError(t, err)
	exec := func(sql string, args ...any) {
		_, err := s.Owner.Exec(t.Context(), sql, args...)
		require.NoError(t, err, sql)
	}
	for i := range n {
		photo := uuid.New()
		exec(`INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height, taken_local)
			VALUES ($1, $2, $3, sha256($4), 'a.jpg', 'ready', 6000, 4000, '2026-06-12 18:30')`, photo, s.event, creator, photo[:])
		for _, d := range append([]derivative{{"placeholder", 16, 0}}, derivatives...) {
			name := fmt.Sprintf("%d-%s", i, d.kind)
			draw(t, filepath.Join(s.dir, name), d.side)
			exec(`INSERT INTO blobs (photo_id, kind, key, format, width, height, bytes, sha256) VALUES ($1, $2, $3, 'image/jpeg', $4, $5, 1, sha256('x'))`,
				photo, d.kind, name, d.side, d.side*2/3)
		}
	}
	return s
}

func draw(t *testing.T, path string, side int) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, side, side*2/3)), nil))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
}

// Whatever is missing of a photograph is found.
func TestCheckFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*testing.T, *store){
		"a photograph": func(*testing.T, *store) {},
		"its being ready": func(t *testing.T, s *store) {
			_, err := s.Owner.Exec(t.Context(), `UPDATE photos SET state = 'unreadable', reason = 'no', width = DEFAULT, height = DEFAULT WHERE id = (SELECT min(id::text)::uuid FROM photos)`)
			require.NoError(t, err)
		},
		"when it was taken": func(t *testing.T, s *store) {
			_, err := s.Owner.Exec(t.Context(), `UPDATE photos SET taken_local = NULL WHERE id = (SELECT min(id::text)::uuid FROM photos)`)
			require.NoError(t, err)
		},
		"a derivative": func(t *testing.T, s *store) {
			_, err := s.Owner.Exec(t.Context(), `ALTER TABLE blobs DISABLE TRIGGER USER; DELETE FROM blobs WHERE key = '1-placeholder'`)
			require.NoError(t, err)
		},
		"a file":       func(t *testing.T, s *store) { require.NoError(t, os.Remove(filepath.Join(s.dir, "0-960"))) },
		"a whole file": func(t *testing.T, s *store) { require.NoError(t, os.Truncate(filepath.Join(s.dir, "0-960"), 20)) },
		"a size":       func(t *testing.T, s *store) { draw(t, filepath.Join(s.dir, "1-preview"), 1599) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, 2)
			require.NoError(t, check(t.Context(), s.Owner, s.dir, s.event, 2))
			harm(t, s)
			n := 2
			if name == "a photograph" {
				n = 3
			}
			require.ErrorIs(t, check(t.Context(), s.Owner, s.dir, s.event, n), ErrIncomplete)
		})
	}
}

// The other side's files are examined as well.
func TestWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.ErrorIs(t, whole(dir, 1), ErrIncomplete)
	for _, d := range derivatives {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d.kind), 0o700))
		draw(t, filepath.Join(dir, d.kind, "a.jpg"), d.side)
	}
	require.NoError(t, whole(dir, 1))
	require.ErrorIs(t, whole(dir, 2), ErrIncomplete)
	draw(t, filepath.Join(dir, "480", "a.jpg"), 481)
	require.ErrorIs(t, whole(dir, 1), ErrIncomplete)
}
