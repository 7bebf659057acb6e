package host

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages/*.html
var pageFiles embed.FS

var pageTemplates = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// PayPage is a hosted payment page as a payer sees it, without scripts. Each
// button posts its action to the address of the page as the form field "action".
type PayPage struct {
	Look     string // the provider's name: it picks colours
	Brand    string // what is written above
	Open     bool   // it can be paid
	Total    string
	Lines    []PayLine
	Email    string
	Buttons  []Button
	Headline string // of a page that is not open
	BackURL  string // where a page that is not open leads; may be empty
	Problem  string // what went wrong just now
}

// PayLine is one thing that is paid for.
type PayLine struct {
	Name     string
	Quantity int64
	Price    string
}

// Button is something that a payer can do.
type Button struct {
	Action string
	Label  string
	Main   bool // the one that most people press
}

// ShowPay sends a payment page.
func ShowPay(w http.ResponseWriter, status int, p PayPage) {
	Render(w, status, pageTemplates, "pay.html", p)
}

// Render sends an HTML page that may run no scripts and be framed by nobody.
func Render(w http.ResponseWriter, status int, from *template.Template, name string, data any) {
	var page bytes.Buffer
	if err := from.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}
