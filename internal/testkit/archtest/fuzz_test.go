package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// outside are the functions that take bytes from outside apart, by package, each
// with the fuzz target that tries it. Who adds one adds its target here.
var outside = map[string]map[string]string{
	"internal/app":                      {"reachedAt": "FuzzPublicURL", "complete": "FuzzSettings", "routes": "FuzzRequests"},
	"internal/app/backup":               {"Read": "FuzzManifest", "walk": "FuzzManifest"},
	"internal/app/importdir":            {"list": "FuzzFolder"},
	"internal/base/money":               {"Parse": "FuzzParse", "Format": "FuzzFormat"},
	"internal/base/obs":                 {"Client": "FuzzClient", "ParseProxies": "FuzzParseProxies", "saneRequestID": "FuzzRequestID"},
	"internal/core/account":             {"ParseEmail": "FuzzParseEmail", "parse": "FuzzNewAccount", "clip": "FuzzUserAgent"},
	"internal/core/catalog":             {"ParseWall": "FuzzParseWall", "CleanPhotoName": "FuzzPhotoName", "cleanText": "FuzzEventTexts", "check": "FuzzPrices"},
	"internal/core/idempotency":         {"ValidKey": "FuzzValidKey"},
	"internal/core/outbox":              {"clip": "FuzzClip"},
	"internal/core/payment":             {"facts": "FuzzFacts", "note": "FuzzWords", "Redact": "FuzzRedact"},
	"internal/core/payment/stripe":      {"Verify": "FuzzVerify", "Fetch": "FuzzReplies", "CreateCheckout": "FuzzReplies"},
	"internal/core/payment/paypal":      {"Verify": "FuzzVerify", "safeFile": "FuzzCertificateAddress", "parseChain": "FuzzCertificateChain", "fromWire": "FuzzAmount", "Fetch": "FuzzReplies", "CreateCheckout": "FuzzAnswers", "newToken": "FuzzAnswers"},
	"internal/core/payment/flutterwave": {"Verify": "FuzzVerify", "fromWire": "FuzzNumbers", "Fetch": "FuzzReplies", "CreateCheckout": "FuzzReplies"},
	"internal/darkroom":                 {"inspect": "FuzzHeaders", "takenAt": "FuzzCameraTime"},
	"internal/darkroom/wire":            {"ReadHello": "FuzzDecode", "ReadRequest": "FuzzDecode", "ReadReply": "FuzzDecode", "Sniff": "FuzzSniff"},
	"internal/edge":                     {"IdempotencyKey": "FuzzIdempotencyKey", "Text": "FuzzText", "Identify": "FuzzIdentify", "AccessCode": "FuzzAccessCodeCookie"},
	"internal/edge/httpapi":             {"position": "FuzzCursor", "pathUUID": "FuzzPathID", "unmarshal": "FuzzBody", "fileName": "FuzzFileName", "Webhooks": "FuzzWebhook"},
	"internal/edge/webui":               {"localPath": "FuzzLocalPath", "form": "FuzzForm", "readSelection": "FuzzForm"},
	"internal/flow/notify":              {"compose": "FuzzMail"},
}

func TestWhatTakesBytesFromOutsideIsFuzzed(t *testing.T) {
	t.Parallel()
	top := root(t)
	for dir, parsers := range outside {
		files, err := filepath.Glob(filepath.Join(top, dir, "*.go"))
		require.NoError(t, err)
		var code, tests strings.Builder
		for _, name := range files {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			if strings.HasSuffix(name, "_test.go") {
				tests.Write(b)
			} else {
				code.Write(b)
			}
		}
		for parser, target := range parsers {
			declared := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + parser + `[(\[]`)
			require.True(t, declared.MatchString(code.String()), "%s has no %s any more: mend the list", dir, parser)
			require.Contains(t, tests.String(), "func "+target+"(f *testing.F)", "%s of %s takes bytes from outside and no fuzz target tries it", parser, dir)
		}
	}
}
