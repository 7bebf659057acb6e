package webui_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/outbox"
	"proofroom/internal/flow/notify"
	"proofroom/internal/proof/twin/mailbox"
)

// post is the way to everybody's mailbox.
type post struct {
	w      *world
	box    *mailbox.Box
	sender *notify.Sender
}

func (w *world) mail() *post {
	w.t.Helper()
	p := &post{w: w, box: mailbox.New(mailbox.Config{})}
	require.NoError(w.t, p.box.Listen())
	w.t.Cleanup(p.box.Close)
	var err error
	p.sender, err = notify.New(w.db.Pool, obs.Log(w, slog.LevelInfo), outbox.Store{Host: "example.com"}, w.accounts, notify.Config{
		Host: "127.0.0.1", Port: p.box.Addr().Port, TLS: notify.TLSNone, From: "mail@example.com", PublicURL: w.url, Timeout: 10 * time.Second,
	})
	require.NoError(w.t, err)
	return p
}

// link sends what is due and returns the path of the link in the newest mail to
// the address.
func (p *post) link(to string) string {
	p.w.t.Helper()
	_, err := p.sender.SendDue(p.w.t.Context())
	require.NoError(p.w.t, err)
	mails := p.box.List(to, 0)
	require.NotEmpty(p.w.t, mails, to)
	links := mails[len(mails)-1].Links()
	require.NotEmpty(p.w.t, links)
	return strings.TrimPrefix(links[0], p.w.url)
}

func email(s string) url.Values { return url.Values{"email": {s}} }

// getFree gets a free photograph and returns its order's path.
func (b *browser) getFree(e catalog.Event, photo string, to string) string {
	b.w.t.Helper()
	f := b.get("/e/"+e.Slug+"/checkout?photo="+photo).want(b.w.t, 200).form()
	f.Set("email", to)
	return b.post("/e/"+e.Slug+"/checkout", f).want(b.w.t, 303).header.Get("Location")
}

// A guest's receipt leads to the photographs from any browser; nothing is lost
// by signing in, and no secret is logged.
func TestReceiptLeadsToTheLibrary(t *testing.T) {
	t.Parallel()
	w := start(t)
	mail := w.mail()
	free := w.newEvent("Open day", catalog.Public, catalog.PriceList{Currency: "EUR", Free: true})
	photos := w.stock(free, 2)
	shop, phone := w.browser(), w.browser()
	first := shop.getFree(free, photos[0].String(), "Ada@Example.com")
	link := mail.link("ada@example.com")

	phone.get("/library").not(t, "photo-0.jpg")
	phone.get(link).want(t, 200, "You sign in as ada@example.com")
	phone.get(link).want(t, 200, "Go on") // whatever looks at links uses none up
	phone.post(link, url.Values{}).want(t, 303)
	phone.get("/library").want(t, 200, "photo-0.jpg")
	phone.get(first).want(t, 200, "Original")
	phone.post(link, url.Values{}).want(t, 410, "This link was used already", "Go on here")
	shop.get(link).want(t, 410)
	shop.get(first).want(t, 404)

	// The shop's browser buys on as a guest; signing in brings that along, too.
	second := shop.getFree(free, photos[1].String(), "other@example.com")
	shop.post("/signin/link", email("ada@example.com")).want(t, 200, "If mail reaches this address")
	shop.post(mail.link("ada@example.com"), url.Values{}).want(t, 303)
	shop.get("/library").want(t, 200, "photo-0.jpg", "photo-1.jpg")
	shop.get(second).want(t, 200, "Original")
	phone.get("/library").want(t, 200, "photo-1.jpg")
	require.Zero(t, w.count(`SELECT count(*) FROM orders WHERE buyer_guest IS NOT NULL`))

	// Again by mail, with a way in that needs no secret.
	phone.post(first+"/receipt", url.Values{}).want(t, 200, "The receipt is on its way to ada@example.com.")
	require.Equal(t, first, mail.link("ada@example.com"))
	w.browser().post(first+"/receipt", url.Values{}).want(t, 401)

	w.logsLock.Lock()
	defer w.logsLock.Unlock()
	require.NotContains(t, w.logs.String(), "lnk_")
}

func TestFindingPurchases(t *testing.T) {
	t.Parallel()
	w := start(t)
	mail := w.mail()
	free := w.newEvent("Open day", catalog.Public, catalog.PriceList{Currency: "EUR", Free: true})
	w.browser().getFree(free, w.stock(free, 1)[0].String(), "ada@example.com")
	b := w.browser()
	b.get("/find").want(t, 200, "Find my purchases")
	known := b.post("/find", email("ada@example.com")).want(t, 200)
	unknown := b.post("/find", email("nobody@example.com")).want(t, 200)
	require.Equal(t, known.body, unknown.body)
	require.Equal(t, known.header.Get("Set-Cookie"), unknown.header.Get("Set-Cookie"))
	b.post("/find", email("nobody")).want(t, 422, "This is not an e-mail address", `value="nobody"`)
	b.post(mail.link("ada@example.com"), url.Values{}).want(t, 303)
	b.get("/library").want(t, 200, "photo-0.jpg")
	b.get("/link/lnk_unknown").want(t, 404, "This link is not one of ours")
}

// Signing in and up by password keeps what the browser's guest has.
func TestPasswordBringsTheGuestAlong(t *testing.T) {
	t.Parallel()
	w := start(t)
	free := w.newEvent("Open day", catalog.Public, catalog.PriceList{Currency: "EUR", Free: true})
	photos := w.stock(free, 2)
	b := w.browser()
	b.getFree(free, photos[0].String(), "a@example.com")
	who := url.Values{"email": {"ada@example.com"}, "name": {"Ada"}, "password": {password}}
	b.post("/signup", who).want(t, 303)
	b.get("/library").want(t, 200, "photo-0.jpg")
	b.post("/signout", url.Values{})
	b.getFree(free, photos[1].String(), "a@example.com")
	b.post("/signin", who).want(t, 303)
	b.get("/library").want(t, 200, "photo-0.jpg", "photo-1.jpg")
	// The cookie of the guest is gone, and its secret with it.
	b.post("/signout", url.Values{})
	b.get("/library").not(t, "photo-0.jpg")
}

func TestAccountPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	mail := w.mail()
	free := w.newEvent("Open day", catalog.Public, catalog.PriceList{Currency: "EUR", Free: true})
	w.browser().getFree(free, w.stock(free, 1)[0].String(), "old@example.com")
	b, other := w.browser(), w.browser()
	b.get("/account").want(t, 401)
	b.post("/signin/link", email("ada@example.com"))
	b.post(mail.link("ada@example.com"), url.Values{}).want(t, 303)
	b.get("/account").want(t, 200, "You are signed in as ada@example.com.")

	b.post("/account/claim", email("nobody")).want(t, 422, "This is not an e-mail address")
	b.post("/account/claim", email("old@example.com")).want(t, 200, "If mail reaches this address")
	link := mail.link("old@example.com")
	other.get(link).want(t, 200, "moves to the account that you are signed in to")
	other.post(link, url.Values{}).want(t, 403, "This link is for another account")
	b.post(link, url.Values{}).want(t, 303)
	b.get("/library").want(t, 200, "photo-0.jpg")

	b.post("/account/password", url.Values{"password": {"short"}}).want(t, 422, "at least 10 characters")
	b.post("/account/password", url.Values{"password": {password}}).want(t, 303)
	b.get("/account?changed=1").want(t, 200, "The password is changed.")
	b.post("/account/password", url.Values{"password": {"another password"}}).want(t, 401, "the password is wrong")
	other.post("/signin", url.Values{"email": {"ada@example.com"}, "password": {password}}).want(t, 303)
}
