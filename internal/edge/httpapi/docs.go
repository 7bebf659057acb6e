package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.css
var docsStyle string

//go:embed docs.html
var docsText string

// docsPolicy allows the one style sheet, which is in the page, and nothing else.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsStyle))
	return fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		base64.StdEncoding.EncodeToString(sum[:]))
}()

var docsTemplate = template.Must(template.New("docs").Parse(docsText))

// The description as the page shows it.
type (
	docsView struct {
		Title, Version, Description, Prefix string
		Style                               template.CSS
		Groups                              []docsGroup
	}
	docsGroup struct {
		Name       string
		Operations []docsOperation
	}
	docsOperation struct {
		ID, Method, Path, Summary, Description, Access string
		Parameters                                     []docsField
		Body                                           []docsField
		BodyType                                       string
		Answers                                        []docsAnswer
	}
	docsAnswer struct {
		Status, Description string
		Fields              []docsField
	}
	docsField struct {
		Name, In, Type, Doc string
		Required            bool
	}
)

// docsPage renders the description once; nothing of it depends on a request.
func docsPage(o *huma.OpenAPI) []byte {
	view := docsView{
		Title: o.Info.Title, Version: o.Info.Version, Description: o.Info.Description, Prefix: Prefix,
		Style: template.CSS(docsStyle), //nolint:gosec // our own, embedded
	}
	schemas := o.Components.Schemas
	groups := map[string]*docsGroup{}
	var names []string
	for _, op := range operations(o) {
		name := cmp.Or(strings.Join(op.Tags, ", "), "Other")
		if groups[name] == nil {
			groups[name] = &docsGroup{Name: name}
			names = append(names, name)
		}
		groups[name].Operations = append(groups[name].Operations, docsOf(op, schemas))
	}
	slices.Sort(names)
	for _, n := range names {
		view.Groups = append(view.Groups, *groups[n])
	}
	var b bytes.Buffer
	if err := docsTemplate.Execute(&b, view); err != nil {
		panic(fmt.Sprintf("httpapi: the page about the API: %v", err))
	}
	return b.Bytes()
}

// operations lists all operations by path and method.
func operations(o *huma.OpenAPI) []*huma.Operation {
	var out []*huma.Operation
	for _, item := range o.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Head, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				out = append(out, op)
			}
		}
	}
	order := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	slices.SortFunc(out, func(a, b *huma.Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(slices.Index(order, a.Method), slices.Index(order, b.Method)))
	})
	return out
}

func docsOf(op *huma.Operation, schemas huma.Registry) docsOperation {
	access, _ := op.Extensions[accessKey].(string)
	out := docsOperation{
		ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description, Access: access,
	}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsField{
			Name: p.Name, In: p.In, Type: typeName(schemas, p.Schema), Doc: cmp.Or(p.Description, p.Schema.Description), Required: p.Required,
		})
	}
	if op.RequestBody != nil {
		for mediaType, m := range op.RequestBody.Content {
			out.BodyType = mediaType
			out.Body = flatten(schemas, m.Schema, "", 0)
		}
	}
	for status, a := range op.Responses {
		answer := docsAnswer{Status: status, Description: a.Description}
		for _, m := range a.Content {
			answer.Fields = flatten(schemas, m.Schema, "", 0)
		}
		out.Answers = append(out.Answers, answer)
	}
	slices.SortFunc(out.Answers, func(a, b docsAnswer) int { return cmp.Compare(a.Status, b.Status) })
	return out
}

// deepest bounds how far into nested objects the page goes.
const deepest = 4

// flatten lists the fields of an object with their paths: "items[].price.amount".
func flatten(schemas huma.Registry, s *huma.Schema, prefix string, depth int) []docsField {
	s = deref(schemas, s)
	if s == nil || depth > deepest {
		return nil
	}
	if s.Items != nil {
		return flatten(schemas, s.Items, prefix+"[]", depth+1)
	}
	names := make([]string, 0, len(s.Properties))
	for n := range s.Properties {
		names = append(names, n)
	}
	slices.Sort(names)
	var out []docsField
	for _, n := range names {
		p := deref(schemas, s.Properties[n])
		path := n
		if prefix != "" {
			path = prefix + "." + n
		}
		out = append(out, docsField{
			Name: path, Type: typeName(schemas, p), Doc: cmp.Or(s.Properties[n].Description, p.Description), Required: slices.Contains(s.Required, n),
		})
		out = append(out, flatten(schemas, p, path, depth+1)...)
	}
	return out
}

func deref(schemas huma.Registry, s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// typeName tells a type and its bounds in a few words.
func typeName(schemas huma.Registry, s *huma.Schema) string {
	s = deref(schemas, s)
	if s == nil {
		return ""
	}
	if s.Items != nil {
		return "list of " + typeName(schemas, s.Items)
	}
	words := []string{cmp.Or(s.Format, s.Type)}
	for _, e := range s.Enum {
		words = append(words, fmt.Sprintf("%q", e))
	}
	bound := func(text string, n any, set bool) {
		if set {
			words = append(words, fmt.Sprintf(text, n))
		}
	}
	bound("from %v", value(s.Minimum), s.Minimum != nil)
	bound("to %v", value(s.Maximum), s.Maximum != nil)
	bound("at least %v characters", value(s.MinLength), s.MinLength != nil)
	bound("at most %v characters", value(s.MaxLength), s.MaxLength != nil)
	bound("at least %v items", value(s.MinItems), s.MinItems != nil)
	bound("at most %v items", value(s.MaxItems), s.MaxItems != nil)
	bound("default %v", s.Default, s.Default != nil)
	return strings.Join(words, " ")
}

func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
