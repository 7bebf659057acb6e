package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
)

// download fetches an original whole and in pieces, and compares the bytes with
// the file that was put up. A stranger must not get it.
func (s *sale) download(ctx context.Context, shop *api, stranger string) error {
	photo := s.first()
	address := original(photo)
	whole, err := shop.do(ctx, http.MethodGet, address, s.as(call{}))
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
		piece, err := shop.do(ctx, http.MethodGet, address, s.as(call{span: span}))
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
	return refused(ctx, shop, photo, call{token: stranger})
}

func original(photo stockPhoto) string { return "/api/v1/photos/" + photo.ID.String() + "/original" }

func equal(photo stockPhoto, raw []byte) error {
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != photo.sha256 {
		return fmt.Errorf("%s came as other bytes than were put up", photo.Name)
	}
	return nil
}

// refused makes sure that a photograph cannot be downloaded by who calls so.
func refused(ctx context.Context, shop *api, photo stockPhoto, c call) error {
	a, err := shop.do(ctx, http.MethodGet, original(photo), c)
	if err != nil {
		return err
	}
	if a.status != http.StatusForbidden && a.status != http.StatusNotFound {
		return fmt.Errorf("%s was handed out with %d to somebody without access", photo.Name, a.status)
	}
	return nil
}

// granted makes sure that the buyer can download a photograph.
func (s *sale) granted(ctx context.Context, shop *api, photo stockPhoto) error {
	a, err := shop.do(ctx, http.MethodGet, original(photo), s.as(call{span: "bytes=0-99"}))
	if err == nil && a.status != http.StatusPartialContent {
		err = a.unexpected(fmt.Sprintf("order %s (%s): download %s", s.orderID, s.story, photo.Name))
	}
	return err
}

// refund gives money back as an operator would: of the whole order, or of its
// first line. Access must be gone with the answer, before any money has moved,
// and stay where nothing went back.
func (s *sale) refund(ctx context.Context, shop *api, operator Person) error {
	body := map[string]any{"reason": "The demonstration gives it back."}
	if s.story == parted {
		line, err := s.firstLine(ctx, shop)
		if err != nil {
			return err
		}
		body["lines"] = []uuid.UUID{line}
	}
	err := shop.want(ctx, http.StatusAccepted, http.MethodPost, "/api/v1/orders/"+s.orderID.String()+"/refunds",
		call{token: operator.Token, key: "refund-" + s.orderID.String(), body: body}, nil)
	if err != nil {
		return err
	}
	if err := refused(ctx, shop, s.first(), s.as(call{})); err != nil {
		return err
	}
	if s.story == parted {
		if err := s.granted(ctx, shop, s.photos[1]); err != nil {
			return err
		}
	}
	return s.reaches(ctx, shop, s.want)
}

// firstLine is the line of the sale's first photograph.
func (s *sale) firstLine(ctx context.Context, shop *api) (uuid.UUID, error) {
	var o struct {
		Lines []struct {
			ID      uuid.UUID `json:"id"`
			PhotoID uuid.UUID `json:"photo_id"`
		}
	}
	if err := shop.want(ctx, http.StatusOK, http.MethodGet, "/api/v1/orders/"+s.orderID.String(), s.as(call{}), &o); err != nil {
		return uuid.Nil, err
	}
	for _, l := range o.Lines {
		if l.PhotoID == s.first().ID {
			return l.ID, nil
		}
	}
	return uuid.Nil, fmt.Errorf("order %s has no line for %s", s.orderID, s.first().Name)
}

// dispute contests the payment as the payer's bank does, and has it decided as
// the story goes. While it is open, and when it is lost, nothing can be
// downloaded.
func (s *sale) dispute(ctx context.Context, shop *api, provider *twin.Control) error {
	page, err := s.view(ctx, provider)
	if err != nil {
		return err
	}
	d, err := provider.OpenDispute(ctx, twin.DisputeOrder{Payment: page.Payments[len(page.Payments)-1], Warning: s.story == warned})
	if err != nil {
		return err
	}
	move := func(to string) error {
		_, err := provider.MoveDispute(ctx, d.ID, to)
		return err
	}
	if s.story == warned {
		if err := move(twin.DisputeWarningClosed); err != nil {
			return err
		}
		return s.granted(ctx, shop, s.first())
	}
	if err := s.reaches(ctx, shop, "disputed"); err != nil {
		return err
	}
	if err := refused(ctx, shop, s.first(), s.as(call{})); err != nil {
		return err
	}
	switch s.story {
	case won:
		if err := move(twin.DisputeWon); err != nil {
			return err
		}
		if err := s.reaches(ctx, shop, s.want); err != nil {
			return err
		}
		return s.granted(ctx, shop, s.first())
	case lost:
		if err := move(twin.DisputeLost); err != nil {
			return err
		}
		return refused(ctx, shop, s.first(), s.as(call{}))
	default:
		return nil
	}
}

// paidEvent is the type of the message that a payment is made.
var paidEvent = map[string]string{
	twin.Stripe: "checkout.session.completed", twin.PayPal: "PAYMENT.CAPTURE.COMPLETED", twin.Flutterwave: "charge.completed",
}

// repeat sends the message that the sale was paid once more, long after. It
// returns how often each event was acknowledged.
func (s *sale) repeat(ctx context.Context, provider *twin.Control) (map[string]int, error) {
	events, err := provider.Events(ctx, twin.EventFilter{Provider: s.provider, Type: paidEvent[s.provider], Ref: s.page})
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

// forgeries are, for each provider, the kinds of forged messages that must be
// refused, and what they claim.
var forgeries = map[string]struct{ kinds, claims []string }{
	twin.Stripe:      {twin.Forgeries, []string{"checkout.session.completed", "payment_intent.succeeded"}},
	twin.PayPal:      {twin.PayPalForgeries, []string{"PAYMENT.CAPTURE.COMPLETED"}},
	twin.Flutterwave: {twin.FlutterwaveForgeries, []string{""}},
}

// forge sends every kind of forged message that the sale was paid. It returns
// the events that the server refused.
func (s *sale) forge(ctx context.Context, provider *twin.Control) (refused []string, err error) {
	all := forgeries[s.provider]
	for _, kind := range all.kinds {
		for _, claim := range all.claims {
			f, err := provider.Forge(ctx, twin.Forgery{Provider: s.provider, Kind: kind, Ref: s.page, Type: claim})
			if err != nil {
				return nil, err
			}
			if f.Status < 400 {
				return nil, fmt.Errorf("a forgery of %s (%s, %s) was answered with %d, not refused", s.provider, kind, claim, f.Status)
			}
			refused = append(refused, f.Event)
		}
	}
	return refused, nil
}
