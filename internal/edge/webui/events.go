package webui

import (
	"errors"
	"net/http"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/edge"
)

const (
	eventsOnPage = 30
	photosOnPage = 60
)

func (u *ui) home(w http.ResponseWriter, r *http.Request) error {
	var after catalog.ListCursor
	if s := r.URL.Query().Get("after"); s != "" {
		last, err := u.eventByID(r, s)
		if err != nil {
			return err
		}
		after = catalog.ListCursor{Starts: last.Starts.At, ID: last.ID}
	}
	events, err := u.Catalog.Listed(r.Context(), after, eventsOnPage+1)
	if err != nil {
		return err
	}
	var more string
	if len(events) > eventsOnPage {
		events = events[:eventsOnPage]
		more = "/?after=" + events[eventsOnPage-1].ID.String()
	}
	return u.show(w, r, "Events", homePage(events, more))
}

func (u *ui) eventByID(r *http.Request, s string) (catalog.Event, error) {
	eventID, err := uuid.Parse(s)
	if err != nil {
		return catalog.Event{}, edge.ErrNotFound
	}
	return u.Catalog.Event(r.Context(), by(edge.Actor(r.Context())), eventID, "")
}

// open reads the event that the address names, if it is open to who asks.
func (u *ui) open(r *http.Request) (catalog.Event, error) {
	return u.Catalog.EventBySlug(r.Context(), by(edge.Actor(r.Context())), chi.URLParam(r, "slug"), u.Cookies.AccessCode(r))
}

// eventView is the page of an event.
type eventView struct {
	Event  catalog.Event
	Photos []catalog.Photo
	Owned  map[uuid.UUID]bool
	Whole  bool // the whole event is owned
	// Chosen are photographs ticked on this page or another one; Elsewhere those
	// of them that this page does not show.
	Chosen    map[uuid.UUID]bool
	Elsewhere []uuid.UUID
	More      string // the last id, when there are more
}

func (u *ui) event(w http.ResponseWriter, r *http.Request) error {
	e, err := u.open(r)
	if errors.Is(err, catalog.ErrCodeNeeded) {
		return u.show(w, r, "Access code", codePage(chi.URLParam(r, "slug"), nil))
	}
	// The code changed since the cookie was set.
	if errors.Is(err, catalog.ErrCodeWrong) {
		return u.wrongCode(w, r, err)
	}
	if err != nil {
		return err
	}
	ctx, q, me := r.Context(), r.URL.Query(), edge.Actor(r.Context())
	v := eventView{Event: e, Chosen: map[uuid.UUID]bool{}}
	after := uuid.Nil
	if s := q.Get("after"); s != "" {
		if after, err = uuid.Parse(s); err != nil {
			return edge.ErrNotFound
		}
	}
	chosen, err := photoIDs(q["photo"])
	if err != nil {
		return err
	}
	if v.Photos, err = u.Catalog.PhotosOf(ctx, e.ID, after, photosOnPage+1, false); err != nil {
		return err
	}
	if len(v.Photos) > photosOnPage {
		v.Photos = v.Photos[:photosOnPage]
		v.More = v.Photos[photosOnPage-1].ID.String()
	}
	here := map[uuid.UUID]bool{}
	for _, p := range v.Photos {
		here[p.ID] = true
	}
	for _, c := range chosen {
		v.Chosen[c] = true
		if !here[c] {
			v.Elsewhere = append(v.Elsewhere, c)
		}
	}
	if me.Known() {
		if v.Owned, v.Whole, err = u.grants.LivePhotos(ctx, u.Pool, me.ID, e.ID); err != nil {
			return err
		}
	}
	return u.show(w, r, e.Title, eventPage(v))
}

func (u *ui) wrongCode(w http.ResponseWriter, r *http.Request, err error) error {
	return u.refused(w, r, err, "Access code", func(p *edge.Problem) templ.Component {
		return codePage(chi.URLParam(r, "slug"), p)
	})
}

func (u *ui) enterCode(w http.ResponseWriter, r *http.Request) error {
	f, err := form(w, r)
	if err != nil {
		return err
	}
	slug, code := chi.URLParam(r, "slug"), f.Get("code")
	_, err = u.Catalog.EventBySlug(r.Context(), by(edge.Actor(r.Context())), slug, code)
	if errors.Is(err, catalog.ErrCodeNeeded) || errors.Is(err, catalog.ErrCodeWrong) {
		return u.wrongCode(w, r, err)
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, u.Cookies.Code(slug, code))
	return seeOther(w, r, "/e/"+slug)
}

// picture sends a watermarked picture. Browsers keep it but ask each time, for
// a photograph may have been taken down since.
func (u *ui) picture(w http.ResponseWriter, r *http.Request) error {
	photoID, err := pathID(r, "photo")
	if err != nil {
		return err
	}
	_, e, err := u.Catalog.Photo(r.Context(), by(edge.Actor(r.Context())), photoID, u.Cookies.AccessCode(r))
	if err != nil {
		return err
	}
	if e.Slug != chi.URLParam(r, "slug") {
		return catalog.ErrPhotoNotFound
	}
	f, err := u.Pictures.OpenDerivative(r.Context(), photoID, media.Kind(chi.URLParam(r, "kind")))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("ETag", f.ETag)
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(w, r, "", f.ModTime, f)
	return nil
}
