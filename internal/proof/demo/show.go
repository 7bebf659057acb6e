package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"proofroom/assets"
	"proofroom/internal/base/money"
	"proofroom/internal/core/account"
)

// Running is what Show tells about what runs.
type Running struct {
	Shop     string         `json:"shop"`
	Docs     string         `json:"docs"`
	Provider string         `json:"provider"`
	Mailbox  string         `json:"mailbox"`
	Admin    string         `json:"admin"`
	Accounts []Person       `json:"accounts"`
	Events   []RunningEvent `json:"events"`
	Logs     string         `json:"logs"`
	Credits  string         `json:"credits,omitempty"`
}

// RunningEvent is an event of the demonstration.
type RunningEvent struct {
	Slug   string `json:"slug"`
	Title  string `json:"title"`
	Photos int    `json:"photos"`
	Prices string `json:"prices"`
	Code   string `json:"access_code,omitempty"`
}

// Show runs everything in a folder that it can be run on again, tells people
// what to do with it, and stops it in order when ctx ends.
func Show(ctx context.Context, o Options) error {
	p := newProgress(o.Err)
	p.say("Starting in %s ...", o.Dir)
	who, s, err := open(ctx, o, known())
	if err != nil && strings.Contains(err.Error(), "address already in use") {
		// Somebody took a port after we had seen that it was free.
		who, s, err = open(ctx, o, free())
	}
	if err != nil {
		return ended(ctx, err)
	}
	err = show(ctx, o, s, who, p)
	p.end()
	if ctx.Err() != nil {
		p.say("Stopping ...")
	}
	if serr := s.Stop(); err == nil {
		err = serr
	}
	return ended(ctx, err)
}

// ended forgives what broke off because it was told to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // being told to stop is no failure
	}
	return err
}

func show(ctx context.Context, o Options, s *Stack, who people, p *progress) error {
	st, err := stock(ctx, s, who.of(account.Creator), 0, p)
	if err != nil {
		return err
	}
	p.end()
	run := Running{
		Shop: s.URL, Docs: s.URL + "/api/v1/docs", Provider: s.Twin.Base + "/_twin/", Mailbox: s.Twin.Mailbox().Base + "/", Admin: s.Admin, Accounts: who, Logs: s.logs(),
	}
	for _, sh := range st.shelves {
		photos := 0
		for _, ph := range sh.Photos {
			if ph.State == "ready" {
				photos++
			}
		}
		run.Events = append(run.Events, RunningEvent{sh.Slug, sh.Title, photos, sh.priced(), sh.code})
	}
	if st.drawn > 0 {
		p.say("The photographs are missing here (make assets fetches them): drawn pictures take their place.")
	} else {
		run.Credits = filepath.Join(s.Dir, "credits.txt")
		if err := os.WriteFile(run.Credits, []byte(assets.Credits()), 0o644); err != nil { //nolint:gosec // it is for everybody
			return err
		}
	}
	if o.JSON {
		err = json.NewEncoder(o.Out).Encode(run)
	} else {
		_, err = fmt.Fprint(o.Out, run.text())
	}
	if err != nil {
		return err
	}
	return s.Wait(ctx)
}

// priced is the price list in words.
func (o offer) priced() string {
	show := func(minor int64) string { return money.Amount{Minor: minor, Currency: o.prices.Currency}.String() }
	parts := []string{show(o.prices.Photo) + " each"}
	for _, b := range o.prices.Bundles {
		parts = append(parts, fmt.Sprintf("any %d for %s", b.Photos, show(b.Price)))
	}
	return strings.Join(append(parts, "all for "+show(o.prices.Event)), ", ")
}

func (r Running) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\nProofroom is running. Ctrl-C stops it; run it again and it goes on.\n")
	line("  Shop        %s/", r.Shop)
	line("  API         %s", r.Docs)
	line("  Providers   %s   (a stand-in for Stripe, PayPal and Flutterwave: no real money)", r.Provider)
	line("  Mailbox     %s   (all mail that the shop sends, whoever it is to)", r.Mailbox)
	line("  Operator's  %s/metrics, %s/readyz", r.Admin, r.Admin)
	line("  Logs        %s\n", r.Logs)
	for _, a := range r.Accounts {
		line("  %-9s %-22s password %s   token %s", a.Role, a.Email, a.Password, a.Token)
	}
	line("")
	for _, e := range r.Events {
		line("  %-20s %d photographs, %s", e.Title, e.Photos, e.Prices)
		if e.Code != "" {
			line("  %-20s access code %s", "", e.Code)
		}
		line("  %-20s %s/e/%s", "", r.Shop, e.Slug)
	}
	if r.Credits != "" {
		line("\n  The photographs show real people and are for looking at here only: do not publish them.\n  Whose they are: %s", r.Credits)
	}
	event := r.Events[0]
	line("\nHow to pay")
	line("  Stripe       by card, or by bank transfer, which arrives when the stand-in's page lets it.")
	line("  PayPal       approve on the page; the server takes the money. An eCheck clears when the stand-in's page lets it.")
	line("  Flutterwave  by card, or with mobile money that is approved four to ten minutes later. It takes no JPY.")
	line("\nSix things to try")
	line("  1. Buy three photographs of %s as a guest, without an account: the third makes it cheaper.", event.Title)
	line("  2. On the provider's page, let the card be declined first, then pay: there is still one order.")
	line("  3. Have %s repeat (duplicate), reorder or lose (drop) the messages, 1 for all of them, then buy: the order ends the same.", strings.TrimSuffix(r.Provider, "/"))
	line("  4. Send a forged message from the same page: it is refused, and nothing changes.")
	line("  5. Dispute a payment there: what was bought cannot be downloaded until the dispute is won.")
	line("  6. Give an order's money back as operator (ORDER is the end of its page's address); the download is refused from that moment:")
	line("     curl -H 'Authorization: Bearer %s' -H 'Idempotency-Key: ORDER' --json '{\"reason\": \"asked for it\"}' %s/api/v1/orders/ORDER/refunds\n",
		people(r.Accounts).of(account.Operator).Token, r.Shop)
	return b.String()
}
