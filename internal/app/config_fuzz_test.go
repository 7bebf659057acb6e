package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
	"proofroom/internal/core/outbox"
	"proofroom/internal/flow/notify"
)

// A public address that is taken is an origin that browsers name like that, is
// https unless it is this machine, and makes links that lead nowhere else.
func FuzzPublicURL(f *testing.F) {
	for _, s := range []string{
		"https://photos.example.com", "https://photos.example.com///", "http://localhost:8080", "http://[::1]:80", "http://photos.example.com", "https://a?b", "https://a#b", "https://u:p@a",
		"https://a b", "https://a/b", "https://", "HTTPS://A", "https://é.example", "https://a:x", "https://a;b", "https://a\"", "https://127.0.0.1.evil.example", "https://[fe80::1%25eth0]", "https://a:", "https://ſ.example", "https://A:443/", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := Config{PublicURL: s}
		if err := c.reachedAt("127.0.0.1:8080"); err != nil {
			return
		}
		u, err := url.Parse(c.PublicURL)
		require.NoError(t, err)
		require.True(t, u.Scheme == "https" || u.Scheme == "http" && local(u.Hostname()))
		require.NoError(t, http.NewCrossOriginProtection().AddTrustedOrigin(c.PublicURL), "no origin")
		require.Equal(t, u.Hostname(), c.host())
		again := c
		require.NoError(t, again.reachedAt(""))
		require.Equal(t, c.PublicURL, again.PublicURL)
		link, err := url.Parse(c.PublicURL + "/link/lnk_x")
		require.NoError(t, err)
		require.Equal(t, "/link/lnk_x", link.Path)
		require.Equal(t, u.Host, link.Host)
		require.False(t, strings.ContainsFunc(c.PublicURL, func(r rune) bool { return r <= ' ' || r == '"' || r == ';' || r == '\'' }), "%q", c.PublicURL)
	})
}

// Settings are taken, or refused with what is wrong; never does a program start
// with one and fall over it later.
func FuzzSettings(f *testing.F) {
	f.Add("main", "sk_test_1", "whsec_1", "https://stand.example", "10.0.0.0/8", "Proofroom <mail@photos.example>", "starttls", 0, 1500)
	f.Add("Main", "sk_live_1", "", "http://x y", "::ffff:0:0/90", "x\r\nBcc: y@z.example", "none", -1, 20000)
	f.Add("a/b", "rk_test_1", "whsec_1,", "https://a;b/c?d#e", "fe80::1%x", "", "", 70000, 0)
	f.Fuzz(func(t *testing.T, account, key, secrets, address, proxy, from, tls string, port, bps int) {
		c := Config{
			DataDir: "/nowhere", Darkroom: "/nowhere", PollWaits: []time.Duration{time.Hour}, CommissionBps: bps, PublicURL: "https://photos.example",
			StripeAccount: account, StripeSecretKey: key, StripeWebhookSecrets: strings.Split(secrets, ","), StripeURL: address,
			FlutterwaveAccount: account, FlutterwaveSecretKey: key, FlutterwaveSecretHashes: strings.Split(secrets, ","), FlutterwaveURL: address,
			SMTPHost: "mail.example", SMTPPort: port, SMTPTLS: tls, MailFrom: from, TrustedProxies: []string{proxy},
		}
		if c.complete() != nil {
			return
		}
		require.True(t, c.CommissionBps >= 0 && c.CommissionBps <= 10_000)
		require.True(t, key == "" || account != "" && url.PathEscape(account) == account, "%q", account)
		if ps, err := c.providers(nil); err == nil {
			require.Equal(t, key != "", len(ps) == 2)
			for _, o := range c.payOrigins() {
				// They stand in a header, one word each.
				require.False(t, strings.ContainsFunc(o, func(r rune) bool { return r <= ' ' || r == ';' || r == ',' || r == '"' || r > '~' }), "%q", o)
			}
		}
		_, _ = obs.ParseProxies(c.TrustedProxies)
		if _, err := notify.New(nil, nil, outbox.Store{Host: c.host()}, nil, c.mail()); err == nil {
			require.False(t, strings.ContainsAny(from, "\r\n"))
		}
	})
}
