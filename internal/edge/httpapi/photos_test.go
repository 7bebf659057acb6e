package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"proofroom/internal/base/jobs"
	"proofroom/internal/core/media"
	"proofroom/internal/core/media/pool"
	"proofroom/internal/edge"
)

// photograph is a real one, from an imaging module's test data.
var photograph = sync.OnceValue(func() []byte {
	const module, sum = "github.com/kovidgoyal/imaging@v1.9.0", "h1:TxHvhClPANvDW7eLm7PYDTZU1KE15xbqlFv95DA6DmY="
	var info struct{ Dir, Sum, Error string }
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if json.Unmarshal(out, &info) != nil || info.Error != "" || info.Sum != sum {
		panic(fmt.Sprintf("download %s: %v: %s", module, err, out))
	}
	b, err := os.ReadFile(filepath.Join(info.Dir, "testdata", "branches.jpg"))
	if err != nil {
		panic(err)
	}
	return b
})

// another is a file of the same picture with other bytes after its end.
func another(n int) []byte { return fmt.Appendf(bytes.Clone(photograph()), "%06d", n) }

const boundary = "xxBOUNDARYxx"

// file is one part of a form. disposition is written as it is.
type file struct {
	disposition string
	content     []byte
}

func named(name string, content []byte) file {
	return file{fmt.Sprintf("form-data; name=\"files\"; filename=\"%s\"", name), content}
}

func form(files ...file) string {
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: %s\r\nContent-Type: image/jpeg\r\n\r\n", boundary, f.disposition)
		b.Write(f.content)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.String()
}

func upload(event, bearer, body string) request {
	return request{
		method: "POST", path: "/events/" + event + "/photos", bearer: bearer, body: body,
		contentType: "multipart/form-data; boundary=" + boundary,
	}
}

type uploadJSON struct {
	Items []struct {
		Name, Outcome string
		PhotoID       string `json:"photo_id"`
		Problem       *edge.Problem
	}
}

func TestEachFileHasItsOutcome(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	e := w.event(ada, "")
	got := decode[uploadJSON](t, w.do(upload(e.ID, ada, form(
		named("a.jpg", another(1)), named("b.jpg", another(2)), named("again.jpg", another(1)),
		named("notes.txt", []byte("hello")), named("large.jpg", append(another(3), make([]byte, 1<<20)...)),
	))), http.StatusOK)
	var outcomes []string
	for _, it := range got.Items {
		outcomes = append(outcomes, it.Outcome)
	}
	require.Equal(t, []string{"created", "created", "duplicate", "refused", "refused"}, outcomes)
	require.Equal(t, got.Items[0].PhotoID, got.Items[2].PhotoID)
	require.Equal(t, "photo.not_a_picture", got.Items[3].Problem.Code)
	require.Equal(t, "photo.too_large", got.Items[4].Problem.Code)
	require.Equal(t, "notes.txt", got.Items[3].Name)

	photo := "/photos/" + got.Items[0].PhotoID
	shown := decode[map[string]any](t, w.do(request{method: "GET", path: photo, bearer: ada}), http.StatusOK)
	require.Equal(t, "processing", shown["state"])
	require.Equal(t, "a.jpg", shown["name"])
	require.Equal(t, "photo.not_found", w.do(request{method: "GET", path: photo}).problem(t).Code)
	require.Equal(t, "photo.no_file", w.do(request{method: "GET", path: photo + "/preview", bearer: ada}).problem(t).Code)

	second := decode[uploadJSON](t, w.do(upload(e.Slug, ada, form(named("a.jpg", another(1))))), http.StatusOK)
	require.Equal(t, "duplicate", second.Items[0].Outcome)
	require.Equal(t, http.StatusNoContent, w.do(request{method: "DELETE", path: photo, bearer: ada}).status)
	require.Equal(t, "photo.not_found", w.do(request{method: "GET", path: photo, bearer: ada}).problem(t).Code)
	third := decode[uploadJSON](t, w.do(upload(e.ID, ada, form(named("a.jpg", another(1))))), http.StatusOK)
	require.Equal(t, "restored", third.Items[0].Outcome)
	require.Equal(t, got.Items[0].PhotoID, third.Items[0].PhotoID)
	mine := decode[eventJSON](t, w.do(request{method: "GET", path: "/events/" + e.ID, bearer: ada}), http.StatusOK)
	require.Equal(t, 2, mine.Photos["processing"])
}

func TestBadUploadsAreProblemsAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, bob := w.token(w.account("ada@example.com", true)), w.token(w.account("bob@example.com", true))
	e := w.event(ada, "")
	good := form(named("a.jpg", another(1)))
	name := func(n string) string { return form(named(n, another(1))) }
	many := make([]file, 101)
	for i := range many {
		many[i] = named("a.jpg", another(i))
	}
	typed := func(contentType string) request {
		r := upload(e.ID, ada, good)
		r.contentType = contentType
		return r
	}
	for why, c := range map[string]struct {
		r      request
		status int
		code   string
	}{
		"not a form":          {typed("application/json"), 400, "upload.not_multipart"},
		"no boundary":         {typed("multipart/form-data"), 400, "upload.not_multipart"},
		"another boundary":    {typed("multipart/form-data; boundary=other"), 400, "upload.malformed"},
		"cut in a file":       {upload(e.ID, ada, good[:len(good)-500]), 400, "upload.malformed"},
		"cut after a file":    {upload(e.ID, ada, strings.TrimSuffix(good, "--\r\n")), 400, "upload.malformed"},
		"broken header":       {upload(e.ID, ada, "--"+boundary+"\r\nnonsense\r\n\r\nx\r\n--"+boundary+"--\r\n"), 400, "upload.malformed"},
		"good then broken":    {upload(e.ID, ada, strings.TrimSuffix(good, "--\r\n")+"\r\nnonsense"), 400, "upload.malformed"},
		"no files":            {upload(e.ID, ada, form()), 422, "upload.empty"},
		"a field":             {upload(e.ID, ada, form(file{`form-data; name="title"`, []byte("x")})), 422, "upload.not_a_file"},
		"no disposition":      {upload(e.ID, ada, form(file{"", []byte("x")})), 422, "upload.not_a_file"},
		"too many":            {upload(e.ID, ada, form(many...)), 422, "upload.too_many"},
		"empty file":          {upload(e.ID, ada, form(named("a.jpg", nil))), 422, "photo.empty"},
		"wrong type":          {upload(e.ID, ada, form(named("a.jpg", []byte("%PDF-1.7")))), 422, "photo.not_a_picture"},
		"too large":           {upload(e.ID, ada, form(named("a.jpg", append(another(1), make([]byte, 1<<20)...)))), 413, "photo.too_large"},
		"path":                {upload(e.ID, ada, name("../../etc/a.jpg")), 422, "photo.name_invalid"},
		"backslashes":         {upload(e.ID, ada, name(`..\\a.jpg`)), 422, "photo.name_invalid"},
		"no name":             {upload(e.ID, ada, name("")), 422, "photo.name_invalid"},
		"NUL":                 {upload(e.ID, ada, form(file{`form-data; name="files"; filename*=UTF-8''a%00.jpg`, another(1)})), 422, "photo.name_invalid"},
		"bare NUL":            {upload(e.ID, ada, name("a\x00.jpg")), 0, ""},
		"writing mark":        {upload(e.ID, ada, name("a\u202egpj.exe")), 422, "photo.name_invalid"},
		"not UTF-8":           {upload(e.ID, ada, name("a\xff.jpg")), 422, "photo.name_invalid"},
		"300 characters":      {upload(e.ID, ada, name(strings.Repeat("n", 300))), 422, "photo.name_invalid"},
		"all refused":         {upload(e.ID, ada, form(named("a.jpg", nil), named("b.jpg", []byte("x")))), 422, "upload.all_refused"},
		"somebody else's":     {upload(e.ID, bob, good), 403, "event.not_yours"},
		"nobody's":            {upload(uuid.NewString(), ada, good), 404, "event.not_found"},
		"from another site":   {request{method: "POST", path: "/events/" + e.ID + "/photos", body: good, contentType: typed("").contentType, cookie: w.session(w.account("c@example.com", true)), header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403, "auth.cross_origin"},
		"without signing in":  {upload(e.ID, "", good), 401, "auth.needed"},
		"with a guest's word": {upload(e.ID, w.guest(), good), 403, "auth.account_needed"},
	} {
		before := w.rows()
		got := w.do(c.r)
		require.GreaterOrEqual(t, got.status, 400, "%s: %s", why, got.body)
		p := got.problem(t)
		if c.code == "" { // refused either as a header or as a name
			require.Contains(t, []int{400, 422}, got.status, "%s: %s", why, got.body)
		} else {
			require.Equal(t, c.status, got.status, "%s: %s", why, got.body)
			require.Equal(t, c.code, p.Code, why)
		}
		require.Equal(t, before, w.rows(), why)
		require.NotContains(t, got.body, "\\u202e", why)
		require.NotContains(t, got.body, "\u202e", why)
	}
	all := w.do(upload(e.ID, ada, form(named("a.jpg", nil), named("b.jpg", []byte("x"))))).problem(t)
	require.Equal(t, "files[0]", all.Errors[0].Name)
	require.Contains(t, all.Errors[1].Detail, "JPEG, PNG, WebP, HEIC and AVIF")

	mixed := w.do(upload(e.ID, ada, form(named("a\u202e\u200f.jpg", another(1)), named("fine.jpg", another(2)))))
	require.NotContains(t, mixed.body, "\u202e")
	require.Equal(t, "a\ufffd\ufffd.jpg", decode[uploadJSON](t, mixed, http.StatusOK).Items[0].Name)
}

// A client that goes away in the middle of its second file adds nothing.
func TestAnUploadThatBreaksOff(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	e := w.event(ada, "")
	before := w.rows()
	conn := w.beginUpload(e, ada)
	require.NoError(t, conn.CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "upload.malformed")
	require.Equal(t, before, w.rows())
}

// A client that falls silent does not hold its connection for ever.
func TestAnUploadThatFallsSilent(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.token(w.account("ada@example.com", true))
	e := w.event(ada, "")
	deps := services(w.db.Pool)
	deps.UploadPatience = 200 * time.Millisecond
	w.url = w.serve(deps)
	before := w.rows()
	conn := w.beginUpload(e, ada)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	answer, err := io.ReadAll(conn)
	require.NoError(t, err, "the server did not hang up")
	require.Contains(t, string(answer), "upload.malformed")
	require.Equal(t, before, w.rows())
}

// beginUpload sends one file and the beginning of another.
func (w *world) beginUpload(e eventJSON, bearer string) *net.TCPConn {
	w.t.Helper()
	u, err := url.Parse(w.url)
	require.NoError(w.t, err)
	conn, err := new(net.Dialer).DialContext(w.t.Context(), "tcp", u.Host)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	body := form(named("a.jpg", another(1)), named("b.jpg", another(2)))
	_, err = fmt.Fprintf(conn, "POST %s/events/%s/photos HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s",
		u.Path, e.ID, u.Host, bearer, boundary, len(body), body[:len(body)-1000])
	require.NoError(w.t, err)
	return conn.(*net.TCPConn)
}

// darkroom is the real one, built once.
var darkroom = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "httpapi")
	if err != nil {
		panic(err)
	}
	binary := filepath.Join(dir, "darkroom")
	if out, err := exec.Command("go", "build", "-o", binary, "proofroom/cmd/darkroom").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the darkroom: %v\n%s", err, out))
	}
	return binary
})

func TestPicturesAndWhoSeesThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, bob, operator := w.token(w.account("ada@example.com", true)), w.token(w.account("bob@example.com", true)), w.token(w.operator())
	events := map[string]eventJSON{
		"public": w.event(ada, ""), "unlisted": w.event(ada, `,"visibility":"unlisted"`),
		"code":  w.event(ada, `,"visibility":"code","access_code":"Summer26"`),
		"draft": decode[eventJSON](t, w.do(request{method: "POST", path: "/events", bearer: ada, body: eventForm + "}"}), http.StatusCreated),
	}
	queue, err := jobs.New(jobs.Config{Pool: w.db.Pool})
	require.NoError(t, err)
	room := pool.New(pool.Config{Binary: darkroom(), Size: 1})
	t.Cleanup(room.Close)
	deps := services(w.db.Pool)
	deps.Media = media.New(w.db.Pool, media.NewStore(memblob.OpenBucket(nil)), queue, room, media.Config{})
	w.url = w.serve(deps)
	photos := map[string]string{}
	for name, e := range events {
		up := decode[uploadJSON](t, w.do(upload(e.ID, ada, form(named("a.jpg", another(0))))), http.StatusOK)
		photos[name] = up.Items[0].PhotoID
		require.NoError(t, deps.Media.Develop(t.Context(), []uuid.UUID{uuid.MustParse(photos[name])}))
	}
	kept, err := deps.Media.OpenDerivative(t.Context(), uuid.MustParse(photos["public"]), media.Size960)
	require.NoError(t, err)
	want, err := io.ReadAll(kept)
	require.NoError(t, err)
	require.NoError(t, kept.Close())
	sum := sha256.Sum256(want)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	for name, photo := range photos {
		path := "/photos/" + photo + "/960"
		for who, as := range map[string]string{"stranger": "", "other": bob, "guest": w.guest(), "owner": ada, "operator": operator} {
			got := w.do(request{method: "GET", path: path, bearer: as})
			owns := who == "owner" || who == "operator"
			switch {
			case name == "draft" && !owns:
				require.Equal(t, "event.not_found", got.problem(t).Code, name+" "+who)
				continue
			case name == "code" && !owns:
				require.Equal(t, "event.code_needed", got.problem(t).Code, name+" "+who)
				got = w.do(request{method: "GET", path: path + "?code=SUMMER26", bearer: as})
			}
			require.Equal(t, http.StatusOK, got.status, "%s %s: %s", name, who, got.body)
			require.Equal(t, string(want), got.body)
			require.Equal(t, kept.ContentType, got.header.Get("Content-Type"))
			require.Equal(t, etag, got.header.Get("Etag"))
			caching := "private, no-cache"
			if name == "public" {
				caching = "public, max-age=86400, immutable"
			}
			require.Equal(t, caching, got.header.Get("Cache-Control"), name+" "+who)
		}
	}

	path := "/photos/" + photos["public"] + "/960"
	same := w.do(request{method: "GET", path: path, header: map[string]string{"If-None-Match": etag}})
	require.Equal(t, http.StatusNotModified, same.status)
	require.Empty(t, same.body)
	part := w.do(request{method: "GET", path: path, header: map[string]string{"Range": "bytes=10-19"}})
	require.Equal(t, http.StatusPartialContent, part.status)
	require.Equal(t, string(want[10:20]), part.body)
	head := w.do(request{method: "HEAD", path: path})
	require.Equal(t, http.StatusOK, head.status)
	require.Equal(t, fmt.Sprint(len(want)), head.header.Get("Content-Length"))
	require.Equal(t, "request.invalid", w.do(request{method: "GET", path: "/photos/" + photos["public"] + "/2000"}).problem(t).Code)

	shown := decode[map[string]any](t, w.do(request{method: "GET", path: "/photos/" + photos["public"]}), http.StatusOK)
	require.Equal(t, "ready", shown["state"])
	require.Greater(t, shown["width"], 100.0)
	require.Len(t, shown["average"], 7)
	list := decode[pageJSON](t, w.do(request{method: "GET", path: "/events/" + events["public"].ID + "/photos"}), http.StatusOK)
	require.Len(t, list.Items, 1)

	// Taken down: at once, for everybody but its owner, and no cache keeps what the owner sees.
	for _, as := range []string{"", bob} {
		r := request{method: "POST", path: "/photos/" + photos["public"] + "/hide", bearer: as}
		require.Contains(t, []string{"auth.needed", "event.not_yours"}, w.do(r).problem(t).Code)
	}
	require.Equal(t, http.StatusNoContent, w.do(request{method: "POST", path: "/photos/" + photos["public"] + "/hide", bearer: ada}).status)
	require.Equal(t, "photo.not_found", w.do(request{method: "GET", path: path}).problem(t).Code)
	require.Equal(t, "photo.not_found", w.do(request{method: "GET", path: path, header: map[string]string{"If-None-Match": etag}}).problem(t).Code)
	own := w.do(request{method: "GET", path: path, bearer: ada})
	require.Equal(t, http.StatusOK, own.status)
	require.Equal(t, "private, no-cache", own.header.Get("Cache-Control"))
	require.Empty(t, decode[pageJSON](t, w.do(request{method: "GET", path: "/events/" + events["public"].ID + "/photos"}), http.StatusOK).Items)
	every := decode[pageJSON](t, w.do(request{method: "GET", path: "/events/" + events["public"].ID + "/photos?everything=true", bearer: ada}), http.StatusOK)
	require.Equal(t, "hidden", every.Items[0]["state"])
	require.Equal(t, http.StatusNoContent, w.do(request{method: "POST", path: "/photos/" + photos["public"] + "/show", bearer: ada}).status)
	require.Equal(t, http.StatusOK, w.do(request{method: "GET", path: path}).status)
}
