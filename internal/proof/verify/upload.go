package verify

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Picture is a photograph that nobody took: noise, so that no two are the same.
// It has width times width*2/3 pixels.
func Picture(seed uint64, width int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, width, width*2/3), image.YCbCrSubsampleRatio420)
	noise := rand.New(rand.NewPCG(seed, seed))
	for i := range img.Y {
		img.Y[i] = uint8(i*255/len(img.Y)) ^ uint8(noise.Uint32()&31)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = uint8(seed), uint8(seed>>8)
	}
	var out bytes.Buffer
	_ = jpeg.Encode(&out, img, nil) // memory takes everything
	return out.Bytes()
}

// Upload sends pictures to the event as its creator.
func (w *World) Upload(ctx context.Context, i *Instance, pictures ...[]byte) (a Answer) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for n, p := range pictures {
		part, err := parts.CreateFormFile("files", fmt.Sprintf("IMG_%04d.jpg", n))
		if err == nil {
			_, err = part.Write(p)
		}
		if err != nil {
			return Answer{Err: err}
		}
	}
	if err := parts.Close(); err != nil {
		return Answer{Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.URL+"/api/v1/events/"+w.Event.String()+"/photos", &form)
	if err != nil {
		return Answer{Err: err}
	}
	req.Header.Set("Content-Type", parts.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+w.Owner)
	req.Header.Set("X-Forwarded-For", addressOf(w.Owner))
	a.From = time.Now()
	defer func() { a.To = time.Now() }()
	w.Count(Requests, 1)
	res, err := w.http.Do(req)
	if err != nil {
		a.Err = err
	} else {
		defer func() { _ = res.Body.Close() }()
		if a.Body, a.Err = io.ReadAll(res.Body); a.Err == nil {
			a.Status, a.Header = res.StatusCode, res.Header
		}
	}
	if a.unknown() {
		w.Count(Indeterminate, 1)
	}
	return a
}

// Uploaded are the photographs that a good answer to an upload names.
func (a Answer) Uploaded() []uuid.UUID {
	var body struct {
		Items []struct {
			PhotoID uuid.UUID `json:"photo_id"`
		}
	}
	if a.Into(&body) != nil {
		return nil
	}
	var out []uuid.UUID
	for _, it := range body.Items {
		if it.PhotoID != uuid.Nil {
			out = append(out, it.PhotoID)
		}
	}
	return out
}

// Claim has an account take over what a guest bought. From then on the guest's
// orders may be the account's.
func (w *World) Claim(ctx context.Context, i *Instance, guest, by Buyer) Answer {
	w.mu.Lock()
	if w.claims == nil {
		w.claims = map[uuid.UUID]uuid.UUID{}
	}
	w.claims[guest.ID] = by.ID
	w.mu.Unlock()
	return w.Call(ctx, i, http.MethodPost, "/api/v1/claims", by.Token, "", map[string]any{"token": guest.Token})
}

// Attendee makes an account that buys.
func (w *World) Attendee(ctx context.Context, email string) (Buyer, error) {
	token, accountID, err := w.accounts.Provision(ctx, email, "", "verify", nil)
	return Buyer{ID: accountID, Token: token}, err
}
