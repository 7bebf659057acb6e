package flutterwave

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// page is all that was asked for and paid under one tx_ref.
type page struct {
	seq    int // its place among all pages, from 1
	ref    string
	links  []*link
	paid   []*transaction // tried under it, oldest first
	source *host.Source

	declined bool // the ordered decline has happened
}

// name is how chance knows a page.
func (p *page) name() string { return fmt.Sprintf("flutterwave page#%d", p.seq) }

// link is one address where a tx_ref can be paid.
type link struct {
	id       string
	page     *page
	url      string
	created  time.Time
	expires  time.Time
	disabled bool
	tries    int // failed ones
	most     int // failed ones that are allowed; 0 is any number

	amount   int64
	currency string
	redirect string
	email    string
	title    string
	orderID  string
}

func (l *link) active(now time.Time) bool {
	return !l.disabled && now.Before(l.expires) && (l.most == 0 || l.tries <= l.most)
}

// linkRequest is the body of POST /v3/payments. What this stand-in makes no use
// of is taken all the same.
type linkRequest struct {
	TxRef       string `json:"tx_ref"`
	Amount      amount `json:"amount"`
	Currency    string `json:"currency"`
	RedirectURL string `json:"redirect_url"`
	Customer    struct {
		Email string `json:"email"`
		Name  string `json:"name"`
		Phone string `json:"phonenumber"`
	} `json:"customer"`
	Customizations struct {
		Title       string `json:"title"`
		Description string `json:"description"`
		Logo        string `json:"logo"`
	} `json:"customizations"`
	Configurations struct {
		SessionDuration int64 `json:"session_duration"`
		MaxRetryAttempt int   `json:"max_retry_attempt"`
	} `json:"configurations"`
	Meta           map[string]any `json:"meta"`
	PaymentOptions string         `json:"payment_options"`
	PayloadHash    string         `json:"payload_hash"`
}

func (t *Twin) createLink(c *host.Call) host.Answer {
	var in linkRequest
	if err := read(c, &in); err != nil {
		return bad("The request cannot be read: " + err.Error())
	}
	if in.Currency == "" {
		in.Currency = "NGN"
	}
	back, urlErr := url.Parse(in.RedirectURL)
	_, mailErr := mail.ParseAddress(in.Customer.Email)
	minor, exact := in.Amount.minor(in.Currency)
	life := longestSession
	if in.Configurations.SessionDuration != 0 {
		life = time.Duration(in.Configurations.SessionDuration) * time.Minute
	}
	switch {
	case in.TxRef == "":
		return bad("tx_ref is required")
	case !takes(in.Currency):
		return bad("currency " + in.Currency + " is not supported")
	case !exact:
		return bad("amount is not valid")
	case urlErr != nil || back.Scheme == "" || back.Host == "":
		return bad("redirect_url must be a valid URL")
	case mailErr != nil:
		return bad("customer.email is required")
	case life < time.Minute || life > longestSession:
		return bad("session_duration must be between 1 and 1440")
	case in.Configurations.MaxRetryAttempt < 0:
		return bad("max_retry_attempt must be positive")
	}
	p := t.pages[in.TxRef]
	if p == nil {
		p = &page{seq: len(t.bySeq) + 1, ref: in.TxRef}
		p.source = host.NewSource(host.Flutterwave, p.ref, p.name())
		t.pages[p.ref] = p
		t.bySeq = append(t.bySeq, p)
	}
	now := t.host.Now()
	l := &link{
		id: "flwlnk-" + host.RandomOf("0123456789abcdefghjkmnpqrstvwxyz", 26), page: p, created: now, expires: now.Add(life),
		most: in.Configurations.MaxRetryAttempt, amount: minor, currency: in.Currency, redirect: in.RedirectURL,
		email: in.Customer.Email, title: in.Customizations.Title,
	}
	l.orderID, _ = in.Meta["order_id"].(string)
	l.url = t.host.Base(c.Request.Host) + pagePath + l.id
	t.links[l.id] = l
	p.links = append(p.links, l)
	return good("Hosted Link", map[string]string{"link": l.url})
}

func (t *Twin) disableLink(c *host.Call) host.Answer {
	var in struct {
		Link string `json:"link"`
	}
	if err := read(c, &in); err != nil {
		return bad("The request cannot be read: " + err.Error())
	}
	l := t.links[in.Link[strings.LastIndex(in.Link, "/")+1:]]
	switch {
	case l == nil || l.url != in.Link:
		return bad("Invalid payment link")
	case !l.active(t.host.Now()):
		return bad("This payment link is currently inactive")
	}
	l.disabled = true
	return good("LINK DISABLED", true)
}

// at finds what a ref names: a tx_ref, for which the newest link that is open
// counts, or one link.
func (t *Twin) at(ref string) (*link, bool) {
	if l, ok := t.links[ref]; ok {
		return l, true
	}
	p, ok := t.pages[ref]
	if !ok {
		return nil, false
	}
	found := p.links[len(p.links)-1]
	for _, l := range p.links {
		if l.active(t.host.Now()) {
			found = l
		}
	}
	return found, true
}

// view is a page in the words of all providers.
func (t *Twin) view(p *page) host.PageView {
	l, _ := t.at(p.ref)
	v := host.PageView{
		Provider: host.Flutterwave, Ref: p.ref, URL: l.url, AttemptID: p.ref, OrderID: l.orderID, Amount: l.amount, Currency: l.currency,
		Status: host.PageExpired, Payments: []string{}, SuccessURL: l.redirect, CancelURL: l.redirect, Created: p.links[0].created, ExpiresAt: l.expires,
	}
	if l.active(t.host.Now()) {
		v.Status = host.PageOpen
	}
	for _, x := range p.paid {
		v.Payments = append(v.Payments, x.id)
		switch {
		case x.status == statusSuccessful:
			v.Status = host.PagePaid
		case x.status == statusPending && v.Status != host.PagePaid:
			v.Status = host.PageProcessing
		}
	}
	return v
}

// Pages lists the pages, oldest first: one for each tx_ref, with the address of
// its newest link.
func (t *Twin) Pages() []host.PageView {
	out := make([]host.PageView, len(t.bySeq))
	for i, p := range t.bySeq {
		out[i] = t.view(p)
	}
	return out
}

// Expire lets every open link of a page expire now.
func (t *Twin) Expire(ref string) (host.PageView, error) {
	l, ok := t.at(ref)
	if !ok {
		return host.PageView{}, host.Missing("page", ref)
	}
	now := t.host.Now()
	if !l.active(now) {
		return host.PageView{}, host.Conflict("the page %s is closed already", ref)
	}
	for _, each := range l.page.links {
		if each.active(now) {
			each.expires = now
		}
	}
	return t.view(l.page), nil
}
