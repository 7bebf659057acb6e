package httpapi

import (
	"context"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/media"
	"proofroom/internal/edge"
)

// recheck is how long a download goes on without looking whether it is still
// allowed.
const recheck = 5 * time.Second

var (
	errNotOwned = problem.Define(problem.Forbidden, "photo.not_owned", "This photo is not yours to download",
		"It was not bought from here, or the access has ended with a refund. What is yours is in your library.")

	guardAccess = guard.Define("download.access", guard.Check, "an original is served to somebody who has no grant")

	duringDownload = faultpoint.Define("download.before_body", "access was checked, no byte of the original is sent")
)

// Downloads are what serving originals needs.
type Downloads struct {
	// Photo finds a photograph whatever its state: what was sold stays
	// downloadable.
	Photo  func(ctx context.Context, photoID uuid.UUID) (catalog.Photo, error)
	Grants *entitlement.Service
	Media  *media.Service
}

// allowed reports whether who may have the original now.
func (d Downloads) allowed(ctx context.Context, who account.Actor, p catalog.Photo) error {
	if !guardAccess.On() || who.Has(account.Operator) || who.Kind == account.KindAccount && who.AccountID == p.CreatorID {
		return nil
	}
	ok, err := d.Grants.Access(ctx, who.ID, p.EventID, p.ID)
	if err != nil {
		return err
	}
	if !ok {
		return errNotOwned
	}
	return nil
}

func registerDownloads(api huma.API, d Deps) {
	tags := []string{"Buying"}
	register(api, known, huma.Operation{
		OperationID: "download-original", Method: http.MethodGet, Path: "/photos/{id}/original", Tags: tags,
		Summary: "Download a photo of mine",
		Description: "The original, byte for byte. Range requests and If-None-Match work. " +
			"Access is checked for each request and while it streams, so that a refund ends it at once.",
		Responses: map[string]*huma.Response{
			"200": {Description: "The original.", Content: map[string]*huma.MediaType{"image/jpeg": {}, "image/png": {}, "image/webp": {}, "image/heic": {}, "image/avif": {}}},
			"206": {Description: "The range that was asked for."},
		},
	}, func(ctx context.Context, in *IDPath) (*huma.StreamResponse, error) {
		photoID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		p, err := d.Downloads.Photo(ctx, photoID)
		if err != nil {
			return nil, err
		}
		who := edge.Actor(ctx)
		if err := d.Downloads.allowed(ctx, who, p); err != nil {
			return nil, err
		}
		f, err := d.Downloads.Media.OpenOriginal(ctx, photoID)
		if err != nil {
			return nil, err
		}
		if err := duringDownload.Hit(); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer func() { _ = f.Close() }()
			r, w := humachi.Unwrap(hctx)
			h := w.Header()
			h.Set("Content-Type", f.ContentType)
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.Name}))
			h.Set("ETag", f.ETag)
			h.Set("Cache-Control", "private, no-cache")
			body := &watched{ReadSeeker: f, checked: time.Now(), check: func() error {
				return d.Downloads.allowed(r.Context(), who, p)
			}}
			http.ServeContent(w, r, "", f.ModTime, body)
		}}, nil
	})

	type libraryItem struct {
		ID        uuid.UUID  `json:"id" format:"uuid"`
		OrderID   uuid.UUID  `json:"order_id" format:"uuid"`
		Kind      string     `json:"kind" enum:"photo,bundle,event"`
		EventID   uuid.UUID  `json:"event_id" format:"uuid"`
		PhotoID   *uuid.UUID `json:"photo_id,omitempty" format:"uuid" doc:"Absent for a whole event."`
		GrantedAt time.Time  `json:"granted_at"`
		Frozen    bool       `json:"frozen" doc:"Whether a dispute keeps it from being downloaded."`
	}
	type library struct{ Body Page[libraryItem] }
	register(api, known, huma.Operation{
		OperationID: "list-library", Method: http.MethodGet, Path: "/library", Tags: tags, Summary: "List what is mine, newest first",
	}, func(ctx context.Context, in *PageQuery) (*library, error) {
		before, err := position(in.Cursor, uuid.Max)
		if err != nil {
			return nil, err
		}
		rows, err := d.Downloads.Grants.Library(ctx, edge.Actor(ctx).ID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return &library{page(rows, in.Limit, func(g entitlement.Item) uuid.UUID { return g.ID }, func(g entitlement.Item) libraryItem {
			return libraryItem{
				ID: g.ID, OrderID: g.OrderID, Kind: g.Kind, EventID: g.EventID, PhotoID: g.PhotoID, GrantedAt: g.GrantedAt, Frozen: g.Frozen,
			}
		})}, nil
	})
}

// watched looks every few seconds whether the download is still allowed, and
// breaks off when it is not.
type watched struct {
	io.ReadSeeker
	checked time.Time
	check   func() error
}

func (s *watched) Read(p []byte) (int, error) {
	if time.Since(s.checked) > recheck {
		if err := s.check(); err != nil {
			return 0, err
		}
		s.checked = time.Now()
	}
	return s.ReadSeeker.Read(p)
}
