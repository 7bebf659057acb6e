package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/darkroom/wire"
)

// taken is a darkroom that somebody has taken over: it answers what they like.
type taken struct{ reply wire.Reply }

func (d *taken) Develop(context.Context, wire.Original, wire.Options) (wire.Developed, error) {
	if d.reply.Unreadable != nil {
		return wire.Developed{}, d.reply.Unreadable
	}
	return *d.reply.Developed, nil
}

type noJobs struct{}

func (noJobs) EnqueueTx(context.Context, pgx.Tx, string, ...river.JobArgs) error { return nil }

// Whatever a darkroom says that the protocol lets through, the photograph ends as
// ready or unreadable, and what is shown of it is text and pictures.
func FuzzDeveloped(f *testing.F) {
	w := openLine(f)
	room := &taken{}
	photos := media.New(w.db.Pool, w.srv.files, noJobs{}, room, media.Config{})
	good := wire.Developed{Metadata: wire.Metadata{Format: wire.JPEG, Width: 4000, Height: 3000, Orientation: 1, TakenAt: "2026-05-30T18:30:00"}, Average: "#7a6b5c"}
	for _, kind := range wire.Kinds() {
		good.Derivatives = append(good.Derivatives, wire.Derivative{Kind: kind, Format: wire.JPEG, Width: 16, Height: 12, Bytes: w.original})
	}
	var frame bytes.Buffer
	require.NoError(f, wire.WriteReply(&frame, wire.Reply{ID: 1, Developed: &good}))
	prefix, head := bytes.Clone(frame.Bytes()[:4]), frame.Bytes()[12:12+binary.BigEndian.Uint32(frame.Bytes()[8:])]
	blob := bytes.Repeat(w.original, len(good.Derivatives))
	f.Add(bytes.Clone(head), blob)
	for _, at := range []string{"2026-05-30T18:30:00,5", "2026-05-30T18:30:00.123456789", "0000-01-01T00:00:00", "9999-12-31T23:59:59"} {
		f.Add(bytes.Replace(head, []byte("2026-05-30T18:30:00"), []byte(at), 1), blob)
	}
	for _, s := range []string{"It is damaged.", "a\x00b", "\u202ea", " ", "<script>alert(1)</script>", string(bytes.Repeat([]byte("x"), 60_000))} {
		verdict, err := json.Marshal(map[string]any{"id": 1, "unreadable": wire.Unreadable{Reason: wire.Damaged, Sentence: s}})
		require.NoError(f, err)
		f.Add(verdict, []byte{})
	}
	n := 0
	f.Fuzz(func(t *testing.T, head, blob []byte) {
		raw := binary.BigEndian.AppendUint32(bytes.Clone(prefix), uint32(4+len(head)+len(blob)))
		raw = append(append(binary.BigEndian.AppendUint32(raw, uint32(len(head))), head...), blob...)
		reply, err := wire.ReadReply(bytes.NewReader(raw))
		if err != nil {
			require.True(t, errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge))
			return
		}
		n++
		up, err := photos.Upload(t.Context(), media.UploadInput{
			By: catalog.By{ID: w.creator}, EventID: w.event.ID, Name: "a.jpg", Reader: bytes.NewReader(fmt.Appendf(bytes.Clone(w.original), "%d", n)),
		})
		require.NoError(t, err)
		room.reply = reply
		require.NoError(t, photos.Develop(t.Context(), []uuid.UUID{up.ID}))
		p, err := w.srv.photo(t.Context(), up.ID)
		require.NoError(t, err)
		require.NotEqual(t, catalog.Processing, p.Developed)
		require.Equal(t, reply.Unreadable != nil, p.Developed == catalog.Unreadable)
		for _, path := range []string{"/api/v1/photos/" + up.ID.String(), "/e/{slug}/p/" + up.ID.String() + "/480"} {
			got := w.send(t, theCreator, "GET", path, "", "")
			require.NotNil(t, got)
			w.judge(t, got, "GET")
			if kind := got.Header().Get("Content-Type"); got.Code == 200 && path[1] == 'e' {
				require.Contains(t, []string{"image/jpeg", "image/webp"}, kind)
			}
		}
	})
}
