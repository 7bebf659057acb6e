package httpapi

import (
	"encoding/base64"
	"encoding/json"

	"github.com/google/uuid"

	"proofroom/internal/base/problem"
)

// IDPath is the input of operations on one thing. The id goes through pathUUID,
// so it declares no format: the framework would find it wrong in other words.
type IDPath struct {
	ID string `path:"id" doc:"The thing's id, a UUID."`
}

// pathUUID reads an id from an address, in the one form in which we write ids.
func pathUUID(name, s string) (uuid.UUID, error) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return uuid.Nil, errID.WithFields(problem.Field{Name: name, Detail: "is not an id"})
	}
	return u, nil
}

// KeyHeader is the input of operations that must not happen twice; its value
// goes through edge.IdempotencyKey.
type KeyHeader struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Required. 1 to 255 printable ASCII characters of your choice; the same when you repeat the request, new otherwise."`
}

// PageQuery is the input of lists.
type PageQuery struct {
	Cursor string `query:"cursor" maxLength:"500" doc:"The value of next from the page before; leave it out to begin."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"At most so many items."`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The items, in order."`
	Next  string `json:"next,omitempty" doc:"The cursor of the page that follows; absent on the last page."`
}

// page makes a page of up to limit rows out of limit+1 that were read, so that
// the last page is known to be the last. at is the position of a row in the
// list's order, which the cursor carries.
func page[R, T, C any](rows []R, limit int, at func(R) C, show func(R) T) Page[T] {
	out := Page[T]{Items: make([]T, 0, min(len(rows), limit))}
	for i, r := range rows {
		if i == limit {
			out.Next = cursor(at(rows[limit-1]))
			break
		}
		out.Items = append(out.Items, show(r))
	}
	return out
}

// cursor writes a position. Cursors are opaque, not secret: a list shows only
// what the caller may see, wherever it begins.
func cursor(position any) string {
	b, err := json.Marshal(position)
	if err != nil {
		panic("httpapi: a cursor cannot be written: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// position reads a cursor; an empty one is where the list begins.
func position[C any](s string, begin C) (C, error) {
	if s == "" {
		return begin, nil
	}
	var out C
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return begin, errCursor
	}
	// What we would not have written was never ours: the same position in other
	// words, or with more beside it.
	if err := json.Unmarshal(b, &out); err != nil || cursor(out) != s {
		return begin, errCursor
	}
	return out, nil
}
