package mailbox

import (
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
)

// longestWait bounds a request that waits for mail.
const longestWait = time.Minute

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{"pieces": pieces}).Parse(pagesText))

// Handler is the mailbox as pages (at its root) and as JSON (under api/). All
// addresses in it are relative, so that it can live under any path that ends in
// a slash.
func (b *Box) Handler() http.Handler {
	r := chi.NewRouter()
	r.Get("/", b.listPage)
	r.Get("/mails/{seq}", b.mailPage)
	r.Get("/mails/{seq}/html", b.htmlPage)
	r.Get("/api/mails", b.listAPI)
	r.Post("/api/faults", b.faultAPI)
	r.Delete("/api/faults", func(w http.ResponseWriter, _ *http.Request) {
		b.Heal()
		w.WriteHeader(http.StatusNoContent)
	})
	return r
}

func (b *Box) find(w http.ResponseWriter, r *http.Request) (Mail, bool) {
	seq, err := strconv.ParseInt(chi.URLParam(r, "seq"), 10, 64)
	if err == nil {
		for _, m := range b.List("", seq-1) {
			if m.Seq == seq {
				return m, true
			}
		}
	}
	http.Error(w, "There is no such mail here. The oldest are removed when there are many.", http.StatusNotFound)
	return Mail{}, false
}

func (b *Box) listPage(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	mails := b.List(to, 0)
	slices.Reverse(mails)
	if len(mails) > 200 {
		mails = mails[:200]
	}
	render(w, "list", struct {
		To    string
		Mails []Mail
	}{to, mails})
}

func (b *Box) mailPage(w http.ResponseWriter, r *http.Request) {
	if m, ok := b.find(w, r); ok {
		render(w, "mail", m)
	}
}

// htmlPage shows the mail as its sender made it, apart from everything else.
func (b *Box) htmlPage(w http.ResponseWriter, r *http.Request) {
	m, ok := b.find(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-top-navigation")
	_, _ = w.Write([]byte(m.HTML))
}

func render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	_ = pages.ExecuteTemplate(w, name, data)
}

func (b *Box) listAPI(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	wait, _ := strconv.ParseInt(q.Get("wait_ms"), 10, 64)
	mails := b.List(q.Get("to"), after)
	if wait > 0 && len(mails) == 0 {
		ctx, cancel := context.WithTimeout(r.Context(), min(time.Duration(wait)*time.Millisecond, longestWait))
		defer cancel()
		mails = b.Wait(ctx, q.Get("to"), after)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(mails)
}

func (b *Box) faultAPI(w http.ResponseWriter, r *http.Request) {
	var f Fault
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || !slices.Contains([]FaultKind{Refuse, Defer, Cut, CutLost, Slow}, f.Kind) {
		http.Error(w, "A fault is {kind: refuse|defer|cut|cut_lost|slow, to, times, delay_ms}.", http.StatusBadRequest)
		return
	}
	b.Fault(f)
	w.WriteHeader(http.StatusNoContent)
}

// piece is a part of a text: a link, or not.
type piece struct{ Text, Link string }

var link = regexp.MustCompile(`https?://[^\s<>"]*[^\s<>".,;:!?)]`)

// pieces finds the links in a text, so that they can be followed.
func pieces(text string) []piece {
	var out []piece
	at := 0
	for _, m := range link.FindAllStringIndex(text, -1) {
		out = append(out, piece{Text: text[at:m[0]]}, piece{Text: text[m[0]:m[1]], Link: text[m[0]:m[1]]})
		at = m[1]
	}
	return append(out, piece{Text: text[at:]})
}

// Links lists the links in the mail's text.
func (m Mail) Links() []string { return link.FindAllString(m.Text, -1) }
