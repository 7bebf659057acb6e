package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
)

func field(name, detail string) problem.Field { return problem.Field{Name: name, Detail: detail} }

type photoBody struct {
	ID         uuid.UUID `json:"id" format:"uuid"`
	EventID    uuid.UUID `json:"event_id" format:"uuid"`
	Name       string    `json:"name" doc:"Of the file, as it was uploaded."`
	State      string    `json:"state" enum:"processing,ready,unreadable,hidden,deleted"`
	Reason     string    `json:"reason,omitempty" doc:"Why it is unreadable."`
	Width      int       `json:"width,omitempty" doc:"Pixels of the original, once it is ready."`
	Height     int       `json:"height,omitempty"`
	Average    string    `json:"average,omitempty" doc:"Its average colour, such as #7a6b5c."`
	TakenLocal string    `json:"taken_local,omitempty" doc:"The camera's clock when it was taken."`
	CreatedAt  time.Time `json:"created_at"`
}

func showPhoto(p catalog.Photo) photoBody {
	out := photoBody{
		ID: p.ID, EventID: p.EventID, Name: p.Name, State: string(p.State), Reason: p.Reason,
		Width: p.Width, Height: p.Height, Average: p.Average, CreatedAt: p.CreatedAt,
	}
	if p.TakenLocal != nil {
		out.TakenLocal = p.TakenLocal.Format("2006-01-02T15:04:05")
	}
	return out
}

func registerPhotos(api huma.API, d Deps) {
	tags := []string{"Photographs"}

	type listInput struct {
		EventPath
		CodeInput
		PageQuery
		Everything bool `query:"everything" doc:"For its creator: also those that are not ready, unreadable or hidden."`
	}
	type list struct{ Body Page[photoBody] }
	register(api, public, huma.Operation{
		OperationID: "list-photos", Method: http.MethodGet, Path: "/events/{event}/photos", Tags: tags,
		Summary: "List the photographs of an event, in the order in which they came",
	}, func(ctx context.Context, in *listInput) (*list, error) {
		after, err := position(in.Cursor, uuid.Nil)
		if err != nil {
			return nil, err
		}
		e, err := d.event(ctx, in.Event, in.code())
		if err != nil {
			return nil, err
		}
		if in.Everything && !e.OwnedBy(by(ctx)) {
			return nil, catalog.ErrNotYours
		}
		rows, err := d.Catalog.PhotosOf(ctx, e.ID, after, in.Limit+1, in.Everything)
		if err != nil {
			return nil, err
		}
		return &list{page(rows, in.Limit, func(p catalog.Photo) uuid.UUID { return p.ID }, showPhoto)}, nil
	})

	type get struct {
		IDPath
		CodeInput
	}
	type one struct{ Body photoBody }
	register(api, public, huma.Operation{
		OperationID: "get-photo", Method: http.MethodGet, Path: "/photos/{id}", Tags: tags, Summary: "See what state a photograph is in",
		Description: "One that is not ready, or was taken down, is seen only by its creator.",
	}, func(ctx context.Context, in *get) (*one, error) {
		photoID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		p, _, err := d.Catalog.Photo(ctx, by(ctx), photoID, in.code())
		if err != nil {
			return nil, err
		}
		return &one{showPhoto(p)}, nil
	})

	for _, change := range []struct {
		name, method, path, summary, description string
		do                                       func(context.Context, catalog.By, []uuid.UUID) ([]uuid.UUID, error)
	}{
		{
			"hide-photo", http.MethodPost, "/hide", "Take down a photograph of mine",
			"Others see it no more, at once. Who bought it keeps it.",
			func(ctx context.Context, who catalog.By, ids []uuid.UUID) ([]uuid.UUID, error) {
				return d.Catalog.HidePhotos(ctx, who, ids)
			},
		},
		{
			"show-photo", http.MethodPost, "/show", "Show a photograph of mine that was taken down", "",
			func(ctx context.Context, who catalog.By, ids []uuid.UUID) ([]uuid.UUID, error) {
				return d.Catalog.ShowPhotos(ctx, who, ids)
			},
		},
		{
			"delete-photo", http.MethodDelete, "", "Delete a photograph of mine",
			"Who bought it keeps it. Uploading the same file to the same event again brings it back.",
			func(ctx context.Context, who catalog.By, ids []uuid.UUID) ([]uuid.UUID, error) {
				return d.Catalog.DeletePhotos(ctx, who, ids)
			},
		},
	} {
		register(api, signedIn, huma.Operation{
			OperationID: change.name, Method: change.method, Path: "/photos/{id}" + change.path, Tags: tags,
			Summary: change.summary, Description: change.description, DefaultStatus: http.StatusNoContent,
		}, func(ctx context.Context, in *IDPath) (*struct{}, error) {
			photoID, err := pathUUID("id", in.ID)
			if err != nil {
				return nil, err
			}
			_, err = change.do(ctx, by(ctx), []uuid.UUID{photoID})
			return nil, err
		})
	}

	type picture struct {
		IDPath
		CodeInput
		Kind string `path:"kind" enum:"preview,960,480,placeholder" doc:"preview: at most 1600 pixels long, watermarked; 960 and 480 likewise; placeholder: 16 pixels."`
	}
	image := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	register(api, public, huma.Operation{
		OperationID: "get-picture", Method: http.MethodGet, Path: "/photos/{id}/{kind}", Tags: tags, Summary: "See a photograph",
		Description: "The picture, with a strong ETag; ranges are served.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The picture.", Content: map[string]*huma.MediaType{"image/jpeg": image, "image/webp": image},
		}},
	}, func(ctx context.Context, in *picture) (*huma.StreamResponse, error) {
		photoID, err := pathUUID("id", in.ID)
		if err != nil {
			return nil, err
		}
		p, e, err := d.Catalog.Photo(ctx, by(ctx), photoID, in.code())
		if err != nil {
			return nil, err
		}
		f, err := d.Media.OpenDerivative(ctx, photoID, media.Kind(in.Kind))
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer func() { _ = f.Close() }()
			r, w := humachi.Unwrap(ctx)
			w.Header().Set("Etag", f.ETag)
			w.Header().Set("Content-Type", f.ContentType)
			w.Header().Set("Cache-Control", caching(p, e))
			http.ServeContent(w, r, "", f.ModTime, f)
		}}, nil
	})
}

// caching says who may keep a picture. Its bytes never change, but whether it
// may be seen does: so shared caches keep only what everybody may see, and for
// a day, and otherwise the browser asks each time, which costs it an ETag.
func caching(p catalog.Photo, e catalog.Event) string {
	if p.State == catalog.Ready && e.Visibility == catalog.Public && e.Status != catalog.Draft {
		return "public, max-age=86400, immutable"
	}
	return "private, no-cache"
}
