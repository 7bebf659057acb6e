package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/assets"
	"proofroom/internal/core/catalog"
)

const (
	apiEvents   = "/api/v1/events"
	uploadGroup = 20 // files in one upload
	drawnPhotos = 12 // pictures drawn for an event without photographs
	// nothingNew is how long the darkroom may take over one photograph.
	nothingNew = time.Minute
)

// offer is an event of the demonstration.
type offer struct {
	id, description, zone, starts, ends, code string
	prices                                    catalog.PriceList
}

// offers are what the three events of the manifest are sold as. Summer night
// shows families, so it asks for a code; Ridge Run is sold in a currency without
// hundredths.
var offers = []offer{
	{
		id: "harbour-summit", description: "Two days of talks, workshops and coffee by the water.",
		zone: "Europe/Lisbon", starts: "2026-09-17T09:00", ends: "2026-09-18T18:00",
		prices: catalog.PriceList{
			Currency: "EUR", Photo: 5_00, Event: 49_00, Bundles: []catalog.Bundle{{Photos: 3, Price: 12_00}, {Photos: 10, Price: 35_00}},
		},
	},
	{
		id: "summer-night", description: "A garden, a long table, three generations. For the guests: the code is on the invitation.",
		zone: "Europe/London", starts: "2026-07-04T17:30", ends: "2026-07-05T01:00", code: "lanterns",
		prices: catalog.PriceList{Currency: "GBP", Photo: 4_00, Event: 25_00, Bundles: []catalog.Bundle{{Photos: 5, Price: 15_00}}},
	},
	{
		id: "ridge-run", description: "Two days along the ridge, every kilometre a view.",
		zone: "Asia/Tokyo", starts: "2026-10-10T06:00", ends: "2026-10-11T16:00",
		prices: catalog.PriceList{Currency: "JPY", Photo: 600, Event: 6800, Bundles: []catalog.Bundle{{Photos: 4, Price: 1800}, {Photos: 12, Price: 4800}}},
	},
}

// picture is a file to put up.
type picture struct {
	name  string
	drawn bool
	read  func() ([]byte, error)
}

// shelf is an event with what is for sale in it.
type shelf struct {
	offer
	ID     uuid.UUID
	Slug   string
	Title  string
	Photos []stockPhoto
}

type stockPhoto struct {
	ID     uuid.UUID `json:"id"`
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`

	sha256 string // of the file that was put up, as hex
}

// stocked is what stock has put up.
type stocked struct {
	shelves []shelf
	drawn   int // pictures that stand in for photographs
}

// stock puts the events up, each with at most so many photographs (0: all), and
// waits until they are developed. It adds only what is missing.
func stock(ctx context.Context, s *Stack, creator Person, each int, say *progress) (stocked, error) {
	var out stocked
	shop := newAPI(s.URL, 1)
	for _, ev := range assets.Events() {
		for _, o := range offers {
			if o.id != ev.ID {
				continue
			}
			sh, err := putUp(ctx, shop, creator, ev, o)
			if err != nil {
				return out, fmt.Errorf("put up %s: %w", ev.Title, err)
			}
			pictures := choose(ev, each)
			if err := sh.fill(ctx, shop, creator, pictures); err != nil {
				return out, fmt.Errorf("fill %s: %w", ev.Title, err)
			}
			for _, p := range pictures {
				if p.drawn {
					out.drawn++
				}
			}
			if err := shop.want(ctx, http.StatusOK, http.MethodPost, apiEvents+"/"+sh.Slug+"/publish", call{token: creator.Token}, nil); err != nil {
				return out, err
			}
			out.shelves = append(out.shelves, sh)
		}
	}
	return out, out.develop(ctx, s, shop, creator, say)
}

// putUp finds the event, or makes it.
func putUp(ctx context.Context, shop *api, creator Person, ev assets.Event, o offer) (shelf, error) {
	sh := shelf{offer: o, Slug: ev.ID, Title: ev.Title}
	var found struct{ ID uuid.UUID }
	a, err := shop.do(ctx, http.MethodGet, apiEvents+"/"+sh.Slug, call{token: creator.Token})
	switch {
	case err != nil:
		return sh, err
	case a.status == http.StatusOK:
		err := a.into(&found)
		sh.ID = found.ID
		return sh, err
	case a.status != http.StatusNotFound:
		return sh, a.unexpected("look for the event")
	}
	prices := map[string]any{"photo": o.prices.Photo, "event": o.prices.Event, "bundles": o.prices.Bundles}
	body := map[string]any{
		"title": ev.Title, "slug": sh.Slug, "description": o.description, "timezone": o.zone, "starts_local": o.starts,
		"ends_local": o.ends, "currency": o.prices.Currency, "prices": prices,
	}
	if o.code != "" {
		body["visibility"], body["access_code"] = "code", o.code
	}
	err = shop.want(ctx, http.StatusCreated, http.MethodPost, apiEvents, call{token: creator.Token, body: body}, &found)
	sh.ID = found.ID
	return sh, err
}

// choose picks an event's photographs that this machine has. Where it has none,
// pictures are drawn.
func choose(ev assets.Event, each int) []picture {
	var out []picture
	for _, f := range ev.Photos {
		if path, ok := assets.Path(f); ok && (each == 0 || len(out) < each) {
			out = append(out, picture{name: f.Name(), read: func() ([]byte, error) { return os.ReadFile(path) }})
		}
	}
	if len(out) > 0 {
		return out
	}
	n := drawnPhotos
	if each > 0 {
		n = each
	}
	for i := range n {
		width, height := 1500, 1000
		if i%4 == 3 {
			width, height = 1000, 1500
		}
		// The first letters tell the events' pictures apart: the same bytes
		// would be the same photograph.
		seed := uint64(ev.ID[0])*100 + uint64(i) + 1
		out = append(out, picture{name: fmt.Sprintf("drawn-%02d.jpg", i+1), drawn: true, read: func() ([]byte, error) {
			return assets.Generated(seed, width, height), nil
		}})
	}
	return out
}

// fill adds the pictures that the event does not have by name, and takes drawn
// ones away once there are photographs.
func (sh *shelf) fill(ctx context.Context, shop *api, creator Person, pictures []picture) error {
	had, err := sh.list(ctx, shop, creator)
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, p := range had {
		has[p.Name] = true
		if strings.HasPrefix(p.Name, "drawn-") && !pictures[0].drawn {
			path := "/api/v1/photos/" + p.ID.String()
			if err := shop.want(ctx, http.StatusNoContent, http.MethodDelete, path, call{token: creator.Token}, nil); err != nil {
				return err
			}
		}
	}
	sums := map[string]string{}
	var missing []picture
	for _, p := range pictures {
		if !has[p.name] {
			missing = append(missing, p)
		}
	}
	for len(missing) > 0 {
		n := min(uploadGroup, len(missing))
		if err := sh.upload(ctx, shop, creator, missing[:n], sums); err != nil {
			return err
		}
		missing = missing[n:]
	}
	if sh.Photos, err = sh.list(ctx, shop, creator); err != nil {
		return err
	}
	for i, p := range sh.Photos {
		sh.Photos[i].sha256 = sums[p.Name]
	}
	return nil
}

// list reads the event's photographs as its creator sees them.
func (sh *shelf) list(ctx context.Context, shop *api, creator Person) ([]stockPhoto, error) {
	var all []stockPhoto
	for cursor := ""; ; {
		var page struct {
			Items []stockPhoto
			Next  string
		}
		q := url.Values{"everything": {"true"}, "limit": {"100"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		path := apiEvents + "/" + sh.ID.String() + "/photos?" + q.Encode()
		if err := shop.want(ctx, http.StatusOK, http.MethodGet, path, call{token: creator.Token}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// upload sends pictures and notes the hash of each.
func (sh *shelf) upload(ctx context.Context, shop *api, creator Person, pictures []picture, sums map[string]string) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, p := range pictures {
		raw, err := p.read()
		if err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		sums[p.name] = hex.EncodeToString(sum[:])
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition("files", p.name)}, "Content-Type": {"image/jpeg"},
		})
		if err != nil {
			return err
		}
		if _, err := part.Write(raw); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	var out struct {
		Items []struct{ Name, Outcome string }
	}
	path := apiEvents + "/" + sh.ID.String() + "/photos"
	if err := shop.want(ctx, http.StatusOK, http.MethodPost, path, call{token: creator.Token, form: &form, typ: w.FormDataContentType()}, &out); err != nil {
		return err
	}
	for _, it := range out.Items {
		if it.Outcome == "refused" {
			return fmt.Errorf("the server refused %s", it.Name)
		}
	}
	return nil
}

// develop waits until no photograph is in the darkroom any more.
func (st *stocked) develop(ctx context.Context, s *Stack, shop *api, creator Person, say *progress) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(nothingNew, func() {
		cancel(fmt.Errorf("no photograph was developed for %s; see %s", nothingNew, s.server.logFile))
	})
	defer patience.Stop()
	before := -1
	err := until(ctx, "the photographs are developed", func(ctx context.Context) (bool, error) {
		ready, all := 0, 0
		for i := range st.shelves {
			sh := &st.shelves[i]
			now, err := sh.list(ctx, shop, creator)
			if err != nil {
				return false, err
			}
			sums := map[uuid.UUID]string{}
			for _, p := range sh.Photos {
				sums[p.ID] = p.sha256
			}
			for j, p := range now {
				now[j].sha256 = sums[p.ID]
				all++
				switch p.State {
				case "processing":
				case "unreadable":
					return false, fmt.Errorf("the darkroom cannot read %s: %s", p.Name, p.Reason)
				default:
					ready++
				}
			}
			sh.Photos = now
		}
		if ready != before {
			patience.Reset(nothingNew)
			before = ready
			say.count("photographs developed", ready, all)
		}
		return ready == all, s.gone()
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
