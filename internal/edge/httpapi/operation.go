package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

// access says who may call an operation.
type access string

const (
	public   access = "everybody"
	known    access = "account or guest"
	signedIn access = "account"
	session  access = "account, signed in with a password"
	creator  access = "creator"
	operator access = "operator"
)

// check returns who is calling, or why they may not.
func (a access) check(ctx context.Context) error {
	var err error
	switch a {
	case public:
	case known:
		_, err = edge.RequireActor(ctx)
	case signedIn:
		_, err = edge.RequireAccount(ctx)
	case session:
		_, err = edge.RequireSession(ctx)
	case creator:
		_, err = edge.RequireRole(ctx, account.Creator)
	case operator:
		_, err = edge.RequireRole(ctx, account.Operator)
	default:
		panic("httpapi: unknown access " + string(a))
	}
	return err
}

// accessKey is the extension that tells access in the description.
const accessKey = "x-access"

// register adds an operation that only who may call it reaches: others are
// answered before their input is read.
func register[I, O any](api huma.API, who access, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	_ = who.check(context.Background()) // an unknown access fails at start
	noHidden(reflect.TypeFor[I](), op.OperationID)
	noHidden(reflect.TypeFor[O](), op.OperationID)
	if op.Extensions == nil {
		op.Extensions = map[string]any{}
	}
	op.Extensions[accessKey] = string(who)
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	// Said here, since the framework leaves it out where answers are described.
	op.Responses["default"] = &huma.Response{Description: "A problem", Content: map[string]*huma.MediaType{
		edge.MediaType: {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[edge.Problem](), true, "")},
	}}
	op.Security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
	if who == public {
		op.Security = append(op.Security, map[string][]string{})
	}
	op.Middlewares = append(huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		if err := who.check(ctx.Context()); err != nil {
			writeProblem(api, ctx, err)
			return
		}
		next(ctx)
	}}, op.Middlewares...)
	huma.Register(api, op, handler)
}

// noHidden panics for an embedded struct whose name begins in small letters: the
// framework skips it silently, and its fields would stay empty.
func noHidden(t reflect.Type, operation string) {
	for f := range t.Fields() {
		if f.Anonymous && !f.IsExported() {
			panic("httpapi: " + operation + ": the embedded " + f.Name + " must be exported or spelled out")
		}
		if f.Name == "Body" && f.Type.Kind() == reflect.Struct {
			noHidden(f.Type, operation)
		}
	}
}

// writeProblem answers from a middleware.
func writeProblem(api huma.API, ctx huma.Context, err error) {
	_ = huma.WriteErr(api, ctx, http.StatusInternalServerError, "", err)
}

// defaultBody is the largest body of an operation that does not name one.
const defaultBody = 1 << 20

// limitBody cuts off what is larger, also where the framework would not, as in
// multipart forms.
func limitBody(ctx huma.Context, next func(huma.Context)) {
	limit := ctx.Operation().MaxBodyBytes
	if limit <= 0 {
		limit = defaultBody
	}
	r, w := humachi.Unwrap(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	next(ctx)
}
