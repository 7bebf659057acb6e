package notify

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	texttemplate "text/template"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/money"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
)

//go:embed letters.txt
var letterTexts string

//go:embed letters.html
var letterPages string

var (
	texts = texttemplate.Must(texttemplate.New("letters").Parse(letterTexts))
	pages = htmltemplate.Must(htmltemplate.New("letters").Parse(letterPages))
)

// letter is a mail, written.
type letter struct{ subject, text, html string }

// page is what letters say.
type page struct {
	Link  string // to the page with the button, or to the order
	Until string // when the link ends; empty: never
	Find  string // where a new link is asked for
	Asker string // the account that claims

	Receipt *receipt
	Bought  []bought
	Account bool // the address has an account
}

type receipt struct {
	Number, Event, Seller, Date, Total, Refunded string
	Lines                                        []receiptLine
}

type receiptLine struct{ Name, Price string }

// bought is one purchase in a list.
type bought struct{ Event, Date, Total string }

// maxBought bounds the list of purchases in a mail.
const maxBought = 20

func (s *Sender) write(ctx context.Context, m outbox.Message) (letter, error) {
	p := page{Find: s.cfg.PublicURL + "/find"}
	var subject string
	var err error
	switch m.Kind {
	case outbox.Receipt, outbox.ReceiptAgain:
		subject, err = s.receipt(ctx, m, &p)
	case outbox.MagicLink:
		subject = "Your link to sign in"
		err = s.link(ctx, m, account.LinkLifetime, time.UTC, &p)
	case outbox.Claim:
		subject, err = s.claim(ctx, m, &p)
	case outbox.FindPurchase:
		subject, err = s.found(ctx, m, &p)
	default:
		err = fmt.Errorf("notify: no letter of kind %q", m.Kind)
	}
	if err != nil {
		return letter{}, err
	}
	return p.letter(m.Kind, subject)
}

// letter writes what the page says, as text and as HTML.
func (p page) letter(kind outbox.Kind, subject string) (letter, error) {
	if kind == outbox.ReceiptAgain {
		kind = outbox.Receipt
	}
	var text, html bytes.Buffer
	if err := errors.Join(texts.ExecuteTemplate(&text, string(kind), p), pages.ExecuteTemplate(&html, string(kind), p)); err != nil {
		return letter{}, err
	}
	return letter{subject: subject, text: text.String(), html: html.String()}, nil
}

// link makes the link of a message.
func (s *Sender) link(ctx context.Context, m outbox.Message, lifetime time.Duration, zone *time.Location, p *page) error {
	type made struct {
		secret string
		until  time.Time
	}
	l, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (made, error) {
		secret, until, err := s.book.IssueLinkTx(ctx, tx, account.Link{ID: m.ID, Email: m.Recipient, AccountID: m.AccountID}, lifetime)
		return made{secret, until}, err
	})
	if err != nil {
		return err
	}
	p.Link, p.Until = s.cfg.PublicURL+"/link/"+l.secret, moment(l.until, zone)
	return nil
}

// receipt writes down what an order sold. A guest reaches it from any browser by
// a link; an account signs in.
func (s *Sender) receipt(ctx context.Context, m outbox.Message, p *page) (subject string, err error) {
	f, err := s.orders.Get(ctx, s.pool, m.OrderID)
	if err != nil {
		return "", err
	}
	event, err := s.catalog.Event(ctx, s.pool, f.Order.EventID)
	if err != nil {
		return "", err
	}
	seller, err := s.seller(ctx, f.Order.CreatorID)
	if err != nil {
		return "", err
	}
	zone := zoneOf(event)
	o := &f.Order
	r := receipt{
		Number: o.ID.String(), Event: event.Title, Seller: seller, Total: price(o.Gross, o.Currency), Date: moment(o.CreatedAt, zone),
	}
	if o.PaidAt != nil {
		r.Date = moment(*o.PaidAt, zone)
	}
	if o.Refunded > 0 {
		r.Refunded = price(o.Refunded, o.Currency)
	}
	for _, l := range f.Lines {
		name := l.Name
		if l.Kind == order.LineEvent {
			name = "All photographs of " + l.Name + ", later ones too"
		}
		r.Lines = append(r.Lines, receiptLine{Name: name, Price: price(l.Price, o.Currency)})
	}
	p.Receipt = &r
	if o.BuyerGuest == nil {
		p.Link = s.cfg.PublicURL + "/o/" + o.ID.String()
		return "Your photographs of " + event.Title, nil
	}
	return "Your photographs of " + event.Title, s.link(ctx, m, account.ReceiptLifetime, zone, p)
}

// seller is the name under which a creator sells.
func (s *Sender) seller(ctx context.Context, creatorID uuid.UUID) (string, error) {
	a, err := s.accounts.Account(ctx, creatorID)
	if errors.Is(err, account.ErrNotFound) {
		return "a photographer who has left", nil
	}
	return a.Name, err
}

func (s *Sender) claim(ctx context.Context, m outbox.Message, p *page) (subject string, err error) {
	if m.AccountID == nil {
		return "", errors.New("notify: a claim by nobody")
	}
	// The address, not the name: a name is free text that a stranger chose.
	a, err := s.accounts.Account(ctx, *m.AccountID)
	if err != nil {
		return "", err
	}
	p.Asker = a.Email
	return "Move your purchases to your account", s.link(ctx, m, account.LinkLifetime, time.UTC, p)
}

// found lists what guests bought with the address, for its holder.
func (s *Sender) found(ctx context.Context, m outbox.Message, p *page) (subject string, err error) {
	ids, err := s.orders.OfEmail(ctx, s.pool, m.Recipient)
	if err != nil {
		return "", err
	}
	for _, orderID := range ids {
		f, err := s.orders.Get(ctx, s.pool, orderID)
		if err != nil {
			return "", err
		}
		if f.Order.PaidAt == nil || len(p.Bought) == maxBought {
			continue
		}
		event, err := s.catalog.Event(ctx, s.pool, f.Order.EventID)
		if err != nil {
			return "", err
		}
		p.Bought = append(p.Bought, bought{
			Event: event.Title, Date: moment(*f.Order.PaidAt, zoneOf(event)), Total: price(f.Order.Gross, f.Order.Currency),
		})
	}
	if p.Account, err = s.accounts.Exists(ctx, m.Recipient); err != nil {
		return "", err
	}
	if len(p.Bought) == 0 && !p.Account {
		return "Your photographs", nil
	}
	return "Your photographs", s.link(ctx, m, account.LinkLifetime, time.UTC, p)
}

func price(minor int64, currency string) string {
	return money.Amount{Minor: minor, Currency: currency}.Format()
}

// zoneOf is where the event is: dates in its mails are those of its place.
func zoneOf(e catalog.Event) *time.Location {
	zone, err := time.LoadLocation(e.Starts.Zone)
	if err != nil {
		return time.UTC // a zone that is no longer known
	}
	return zone
}

func moment(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2 January 2006, 15:04") + " (" + zone.String() + ")"
}
