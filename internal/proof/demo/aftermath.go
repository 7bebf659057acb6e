package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"proofroom/internal/proof/twin"
)

// download fetches an original whole and in pieces, and compares the bytes with
// the file that was put up. A stranger must not get it.
func (s *sale) download(ctx context.Context, shop *api, stranger string) error {
	photo := s.first()
	address := "/api/v1/photos/" + photo.ID.String() + "/original"
	whole, err := shop.do(ctx, http.MethodGet, address, call{token: s.token})
	if err != nil {
		return err
	}
	if whole.status != http.StatusOK {
		return whole.unexpected("download " + photo.Name)
	}
	if err := equal(photo, whole.body); err != nil {
		return err
	}
	var pieces []byte
	third := len(whole.body) / 3
	for _, span := range []string{
		fmt.Sprintf("bytes=0-%d", third-1), fmt.Sprintf("bytes=%d-%d", third, 2*third-1), fmt.Sprintf("bytes=%d-", 2*third),
	} {
		piece, err := shop.do(ctx, http.MethodGet, address, call{token: s.token, span: span})
		if err != nil {
			return err
		}
		if piece.status != http.StatusPartialContent {
			return piece.unexpected("download " + span + " of " + photo.Name)
		}
		pieces = append(pieces, piece.body...)
	}
	if err := equal(photo, pieces); err != nil {
		return err
	}
	return s.refused(ctx, shop, stranger)
}

func equal(photo stockPhoto, raw []byte) error {
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != photo.sha256 {
		return fmt.Errorf("%s came as other bytes than were put up", photo.Name)
	}
	return nil
}

// refused makes sure that the photograph cannot be downloaded with a token.
func (s *sale) refused(ctx context.Context, shop *api, token string) error {
	photo := s.first()
	a, err := shop.do(ctx, http.MethodGet, "/api/v1/photos/"+photo.ID.String()+"/original", call{token: token})
	if err != nil {
		return err
	}
	if a.status != http.StatusForbidden && a.status != http.StatusNotFound {
		return fmt.Errorf("%s was handed out with %d to somebody without access", photo.Name, a.status)
	}
	return nil
}

// refund gives the money back as an operator would. Access must be gone with the
// answer, before any money has moved.
func (s *sale) refund(ctx context.Context, shop *api, operator Person) error {
	err := shop.want(ctx, http.StatusAccepted, http.MethodPost, "/api/v1/orders/"+s.orderID.String()+"/refunds",
		call{token: operator.Token, key: "refund-" + s.orderID.String(), body: map[string]any{"reason": "The demonstration gives it back."}}, nil)
	if err != nil {
		return err
	}
	return s.refused(ctx, shop, s.token)
}

// repeat sends the message that the sale was paid once more, long after. It
// returns how often each event was acknowledged.
func (s *sale) repeat(ctx context.Context, provider *twin.Control) (map[string]int, error) {
	events, err := provider.Events(ctx, twin.EventFilter{Type: "checkout.session.completed", Ref: s.session})
	if err != nil {
		return nil, err
	}
	acknowledged := map[string]int{}
	for _, ev := range events {
		sent, err := provider.Redeliver(ctx, ev.ID, twin.Redelivery{Times: 3})
		if err != nil {
			return nil, err
		}
		for _, d := range sent {
			if d.Status >= 200 && d.Status < 300 {
				acknowledged[ev.ID]++
			}
		}
	}
	return acknowledged, nil
}

// forge sends every kind of forged message that the sale was paid. It returns
// the events that the server refused.
func (s *sale) forge(ctx context.Context, provider *twin.Control) (refused []string, err error) {
	for _, kind := range twin.Forgeries {
		for _, claim := range []string{"checkout.session.completed", "payment_intent.succeeded"} {
			f, err := provider.Forge(ctx, twin.Forgery{Kind: kind, Ref: s.session, Type: claim})
			if err != nil {
				return nil, err
			}
			if f.Status < 400 || f.Status >= 500 {
				return nil, fmt.Errorf("a forgery (%s, %s) was answered with %d, not refused", kind, claim, f.Status)
			}
			refused = append(refused, f.Event)
		}
	}
	return refused, nil
}
