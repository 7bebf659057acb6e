package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/core/media/internal/db"
)

// errDiffers means that a photograph has another file of a kind than the one
// that was to be recorded. Rows are never changed, so somebody must look.
var errDiffers = errors.New("media: the photograph already has another file of this kind")

// blobRow is a row of blobs: one file of one photograph.
type blobRow = db.Blob

var queries db.Queries

// insertBlobsTx records files. A row that stands already must be the same.
func insertBlobsTx(ctx context.Context, tx pgx.Tx, rows []blobRow) error {
	if len(rows) == 0 {
		return nil
	}
	var p db.InsertBlobsParams
	var photos []uuid.UUID
	for _, b := range rows {
		photos = append(photos, b.PhotoID)
		p.PhotoIds = append(p.PhotoIds, b.PhotoID)
		p.Kinds = append(p.Kinds, b.Kind)
		p.Keys = append(p.Keys, b.Key)
		p.Formats = append(p.Formats, b.Format)
		p.Widths = append(p.Widths, b.Width)
		p.Heights = append(p.Heights, b.Height)
		p.Sizes = append(p.Sizes, b.Bytes)
		p.Hashes = append(p.Hashes, b.Sha256)
	}
	n, err := queries.InsertBlobs(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	if n == int64(len(rows)) {
		return nil
	}
	standing, err := queries.BlobsOf(ctx, tx, photos)
	if err != nil {
		return fmt.Errorf("read files again: %w", err)
	}
	type name struct {
		photo uuid.UUID
		kind  string
	}
	found := make(map[name]db.Blob, len(standing))
	for _, r := range standing {
		found[name{r.Blob.PhotoID, r.Blob.Kind}] = r.Blob
	}
	for _, want := range rows {
		got := found[name{want.PhotoID, want.Kind}]
		if got.Key != want.Key || got.Format != want.Format || got.Bytes != want.Bytes ||
			got.Width != want.Width || got.Height != want.Height || !bytes.Equal(got.Sha256, want.Sha256) {
			return fmt.Errorf("%w: %s of %s", errDiffers, want.Kind, want.PhotoID)
		}
	}
	return nil
}
