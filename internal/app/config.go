package app

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/flow/notify"
)

// Config is everything that an operator can set. Each setting is a flag and an
// environment variable.
type Config struct {
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"PostgreSQL 15 or newer, as an owner of the database. Without it a private PostgreSQL is run in the data folder."`
	DataDir     string `name:"data-dir" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"Folder of the private PostgreSQL and of the photographs. Default: /var/lib/proofroom as root, the user's data folder otherwise."`
	Blobs       string `name:"blobs" env:"PROOFROOM_BLOBS" placeholder:"URL" help:"Where photographs are kept: a folder, or the URL of a bucket. Default: files in the data folder."`

	Listen         string   `name:"listen" env:"PROOFROOM_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address for the public (${default})."`
	AdminListen    string   `name:"admin-listen" env:"PROOFROOM_ADMIN_LISTEN" default:"127.0.0.1:8081" placeholder:"ADDR" help:"Address for health, metrics and profiles (${default}). Never publish it."`
	PublicURL      string   `name:"public-url" env:"PROOFROOM_PUBLIC_URL" placeholder:"URL" help:"How people reach this installation. It must be https, save on this machine."`
	TrustedProxies []string `name:"trusted-proxies" env:"PROOFROOM_TRUSTED_PROXIES" placeholder:"NET" help:"Networks of reverse proxies whose word about the client's address counts."`

	Darkroom     string `name:"darkroom" env:"PROOFROOM_DARKROOM" placeholder:"FILE" help:"The darkroom binary. Default: darkroom beside this program. Without it, photographs wait for another instance."`
	DarkroomSize int    `name:"darkroom-size" env:"PROOFROOM_DARKROOM_SIZE" default:"0" placeholder:"N" help:"Photographs developed at once; 0: one for each processor."`
	Watermark    string `name:"watermark" env:"PROOFROOM_WATERMARK" default:"PROOFROOM" help:"The words across every preview."`

	StripeAccount        string   `name:"stripe-account" env:"PROOFROOM_STRIPE_ACCOUNT" default:"main" help:"Our own name of the Stripe account, in the webhook's address: /webhooks/stripe/NAME."`
	StripeSecretKey      string   `name:"stripe-secret-key" env:"PROOFROOM_STRIPE_SECRET_KEY" placeholder:"KEY" help:"The account's secret key, sk_... or rk_... . Without it nobody pays with Stripe."`
	StripeWebhookSecrets []string `name:"stripe-webhook-secrets" env:"PROOFROOM_STRIPE_WEBHOOK_SECRETS" placeholder:"SECRET" help:"Signing secrets of the webhook endpoint, whsec_...; several while one is being replaced."`
	StripeURL            string   `name:"stripe-url" env:"PROOFROOM_STRIPE_URL" placeholder:"URL" help:"Another address of the API, for the stand-in. Refused together with a live key."`

	PayPalAccount      string `name:"paypal-account" env:"PROOFROOM_PAYPAL_ACCOUNT" default:"main" help:"Our own name of the PayPal account, in the webhook's address: /webhooks/paypal/NAME."`
	PayPalClientID     string `name:"paypal-client-id" env:"PROOFROOM_PAYPAL_CLIENT_ID" placeholder:"ID" help:"Client id of the REST app. Without it nobody pays with PayPal."`
	PayPalClientSecret string `name:"paypal-client-secret" env:"PROOFROOM_PAYPAL_CLIENT_SECRET" placeholder:"KEY" help:"Secret of the REST app."`
	PayPalWebhookID    string `name:"paypal-webhook-id" env:"PROOFROOM_PAYPAL_WEBHOOK_ID" placeholder:"ID" help:"Id of the app's webhook, as its page shows it: part of what PayPal signs."`
	PayPalLive         bool   `name:"paypal-live" env:"PROOFROOM_PAYPAL_LIVE" help:"Real money. Without it the sandbox is asked."`
	PayPalURL          string `name:"paypal-url" env:"PROOFROOM_PAYPAL_URL" placeholder:"URL" help:"Another address of the API, for the stand-in. Refused together with --paypal-live."`
	PayPalRootCA       string `name:"paypal-root-ca" env:"PROOFROOM_PAYPAL_ROOT_CA" placeholder:"FILE" help:"Another root for the certificates that sign webhooks (PEM), for the stand-in. Refused together with --paypal-live."`

	FlutterwaveAccount      string   `name:"flutterwave-account" env:"PROOFROOM_FLUTTERWAVE_ACCOUNT" default:"main" help:"Our own name of the Flutterwave account, in the webhook's address: /webhooks/flutterwave/NAME."`
	FlutterwaveSecretKey    string   `name:"flutterwave-secret-key" env:"PROOFROOM_FLUTTERWAVE_SECRET_KEY" placeholder:"KEY" help:"The account's secret key of API v3, FLWSECK-... or FLWSECK_TEST-... . Without it nobody pays with Flutterwave."`
	FlutterwaveSecretHashes []string `name:"flutterwave-secret-hashes" env:"PROOFROOM_FLUTTERWAVE_SECRET_HASHES" placeholder:"SECRET" help:"Secret hashes of the dashboard's webhook settings; several while one is being replaced."`
	FlutterwaveURL          string   `name:"flutterwave-url" env:"PROOFROOM_FLUTTERWAVE_URL" placeholder:"URL" help:"Another address of the API, for the stand-in. Refused together with a live key."`

	SMTPHost     string `name:"smtp-host" env:"PROOFROOM_SMTP_HOST" placeholder:"HOST" help:"The mail server. Without it mail waits."`
	SMTPPort     int    `name:"smtp-port" env:"PROOFROOM_SMTP_PORT" default:"0" placeholder:"N" help:"Its port; 0: 587, 465 or 25, as --smtp-tls has it."`
	SMTPUser     string `name:"smtp-user" env:"PROOFROOM_SMTP_USER" placeholder:"NAME" help:"Who we are there, if it asks."`
	SMTPPassword string `name:"smtp-password" env:"PROOFROOM_SMTP_PASSWORD" placeholder:"KEY" help:"The password."`
	SMTPTLS      string `name:"smtp-tls" env:"PROOFROOM_SMTP_TLS" default:"starttls" enum:"starttls,tls,none" help:"How the way there is protected: starttls, tls or, on this machine only, none."`
	MailFrom     string `name:"mail-from" env:"PROOFROOM_MAIL_FROM" placeholder:"ADDRESS" help:"Who mail is from: Proofroom <mail@photos.example.com>."`

	CommissionBps int `name:"commission-bps" env:"PROOFROOM_COMMISSION_BPS" default:"1500" placeholder:"N" help:"The platform's share of each sale of new events, in hundredths of a percent (${default})."`

	StoreFirst bool `name:"store-first" env:"PROOFROOM_STORE_FIRST" help:"Only store webhooks before they are answered, and fulfil orders right after. Without it, an order that is plainly paid is fulfilled in the transaction that stores the webhook, which is faster."`

	PollWaits []time.Duration `name:"poll-waits" env:"PROOFROOM_POLL_WAITS" default:"1m,2m,5m,15m,1h" help:"When a provider is asked about an order that waits for money, counted from one look to the next; the last one repeats."`
	GiveUp    time.Duration   `name:"give-up" env:"PROOFROOM_GIVE_UP" default:"72h" help:"When the page of an order that nobody paid is closed."`

	LogLevel string `name:"log-level" env:"PROOFROOM_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"How much is logged: debug, info, warn or error."`
}

// complete fills in what follows from the rest, and refuses what cannot be.
func (c *Config) complete() error {
	if c.DataDir == "" {
		c.DataDir = embedded.DefaultDataDir()
	}
	if c.DataDir == "" {
		return fmt.Errorf("there is no home folder to keep data in: set --data-dir")
	}
	if c.Blobs == "" {
		c.Blobs = filepath.Join(c.DataDir, "files")
	}
	if c.Darkroom == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program's own folder: %w", err)
		}
		c.Darkroom = filepath.Join(filepath.Dir(self), "darkroom")
	}
	if c.CommissionBps < 0 || c.CommissionBps > 10_000 {
		return fmt.Errorf("--commission-bps %d is no share: it is 0 to 10000 hundredths of a percent", c.CommissionBps)
	}
	if len(c.PollWaits) == 0 {
		return fmt.Errorf("--poll-waits names no time")
	}
	if c.SMTPHost != "" && c.MailFrom == "" {
		return fmt.Errorf("--smtp-host is set, but not who mail is from: set --mail-from")
	}
	for _, a := range []struct{ flag, address string }{
		{"--stripe-url", c.StripeURL}, {"--paypal-url", c.PayPalURL}, {"--flutterwave-url", c.FlutterwaveURL},
	} {
		u, err := url.Parse(a.address)
		if a.address != "" && (err != nil || !isOrigin(&url.URL{Scheme: u.Scheme, Host: u.Host})) {
			return fmt.Errorf("%s is %q, which is no address of a server", a.flag, a.address)
		}
	}
	for _, a := range []struct{ flag, name, configured string }{
		{"--stripe-account", c.StripeAccount, c.StripeSecretKey},
		{"--paypal-account", c.PayPalAccount, c.PayPalClientID},
		{"--flutterwave-account", c.FlutterwaveAccount, c.FlutterwaveSecretKey},
	} {
		if a.configured != "" && !accountName.MatchString(a.name) {
			return fmt.Errorf("%s is %q: it is part of the webhook's address, so use only a to z, 0 to 9 and -", a.flag, a.name)
		}
	}
	return nil
}

var accountName = regexp.MustCompile(`^[a-z0-9-]+$`)

// reachedAt decides how people reach an instance that listens at addr.
func (c *Config) reachedAt(addr string) error {
	if c.PublicURL == "" {
		c.PublicURL = "http://" + addr
	}
	u, err := url.Parse(strings.TrimRight(c.PublicURL, "/"))
	if err != nil || !isOrigin(u) {
		return fmt.Errorf("the public URL %q cannot be read: write it like https://photos.example.com", c.PublicURL)
	}
	// As browsers write it, which say with a form where that came from.
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":"+map[string]string{"http": "80", "https": "443"}[u.Scheme])
	c.PublicURL = u.Scheme + "://" + host
	if u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
		return fmt.Errorf("the public URL %q must be https: sign-ins over plain http can be read by anybody on the way", c.PublicURL)
	}
	return nil
}

// hostName is what browsers take and write: letters of other alphabets are
// written in ASCII (xn--...).
var hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// isOrigin reports whether an address names a place on the web and nothing more.
func isOrigin(u *url.URL) bool {
	return hostName.MatchString(u.Host) && *u == url.URL{Scheme: u.Scheme, Host: u.Host}
}

// payOrigins are where a checkout may send the buyer's browser.
func (c *Config) payOrigins() []string {
	var out []string
	for _, p := range []struct {
		configured string
		other      string   // where the stand-in is
		own        []string // the provider's own pages
	}{
		{c.StripeSecretKey, c.StripeURL, []string{"https://checkout.stripe.com"}},
		{c.PayPalClientID, c.PayPalURL, []string{"https://www.paypal.com", "https://www.sandbox.paypal.com"}},
		{c.FlutterwaveSecretKey, c.FlutterwaveURL, []string{"https://checkout.flutterwave.com"}},
	} {
		switch u, err := url.Parse(p.other); {
		case p.configured == "":
		case p.other == "":
			out = append(out, p.own...)
		case err == nil:
			out = append(out, u.Scheme+"://"+u.Host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mail is how mail leaves.
func (c *Config) mail() notify.Config {
	return notify.Config{
		Host: c.SMTPHost, Port: c.SMTPPort, User: c.SMTPUser, Password: c.SMTPPassword, TLS: notify.TLS(c.SMTPTLS), From: c.MailFrom,
		PublicURL: c.PublicURL,
	}
}

// plain reports whether people reach the installation over plain http.
func (c *Config) plain() bool { return strings.HasPrefix(c.PublicURL, "http://") }

func local(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// host is the public name, for Message-IDs.
func (c *Config) host() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
