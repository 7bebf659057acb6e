package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/media"
	"proofroom/internal/edge"
)

// Bounds of one upload.
const (
	maxUploadFiles = 100
	maxUploadBytes = 2 << 30
	uploadPatience = 30 * time.Second
)

// The problems of uploads as a whole. Each file has its own.
var (
	errNoMultipart = problem.Define(problem.Invalid, "upload.not_multipart", "The upload cannot be read",
		"Send the files as multipart/form-data. Nothing was added.")
	errMultipart = problem.Define(problem.Invalid, "upload.malformed", "The upload cannot be read",
		"It is not well-formed multipart/form-data, or it broke off. Nothing was added; send it again, no photograph becomes two.")
	errNotAFile = problem.Define(problem.Unprocessable, "upload.not_a_file", "The upload contains something else than files",
		"Every part must be a file with a name. Nothing was added.")
	errNoFiles = problem.Define(problem.Unprocessable, "upload.empty", "The upload contains no file",
		"Choose at least one photograph. Nothing was added.")
	errManyFiles = problem.Define(problem.Unprocessable, "upload.too_many", "Too many files at once",
		fmt.Sprintf("Send at most %d files in one upload. Nothing was added.", maxUploadFiles))
	errAllRefused = problem.Define(problem.Unprocessable, "upload.all_refused", "None of the files can be taken",
		"Nothing was added. What is wrong with each is named here.")
)

// UploadBody is the input of an upload: the request itself, since the framework
// would read all of its files before the first could be refused.
type UploadBody struct {
	request *http.Request
	writer  http.ResponseWriter
}

// Resolve keeps the request.
func (b *UploadBody) Resolve(ctx huma.Context) []error {
	b.request, b.writer = humachi.Unwrap(ctx)
	return nil
}

type uploadItem struct {
	Name    string        `json:"name" doc:"Of the file."`
	Outcome string        `json:"outcome" enum:"created,duplicate,restored,refused" doc:"duplicate: the event had these very bytes; restored: it had been deleted and is back."`
	PhotoID *uuid.UUID    `json:"photo_id,omitempty" format:"uuid"`
	Problem *edge.Problem `json:"problem,omitempty" doc:"Why it was refused."`

	refusal *problem.Error
}

type uploadOutput struct {
	Body struct {
		Items []uploadItem `json:"items" nullable:"false" doc:"One for each file, in the order in which they came."`
	}
}

func registerUploads(api huma.API, d Deps) {
	type upload struct {
		EventPath
		UploadBody
	}
	register(api, signedIn, huma.Operation{
		OperationID: "upload-photos", Method: http.MethodPost, Path: "/events/{event}/photos", Tags: []string{"Photographs"},
		Summary: "Add photographs to an event of mine", DefaultStatus: http.StatusOK, MaxBodyBytes: maxUploadBytes,
		Description: fmt.Sprintf("JPEG, PNG, WebP, HEIC and AVIF, up to %d files and 2 GB in all. Each file is taken or refused by itself; if none is taken, the answer is a problem. "+
			"Sending a file again adds nothing. A photograph is processing until it was developed.", maxUploadFiles),
	}, func(ctx context.Context, in *upload) (*uploadOutput, error) {
		parts, err := in.request.MultipartReader()
		if err != nil {
			return nil, errNoMultipart.Because(err)
		}
		e, err := d.ownEvent(ctx, in.Event)
		if err != nil {
			return nil, err
		}
		batch, err := d.Media.Begin(ctx, by(ctx), e.ID)
		if err != nil {
			return nil, err
		}
		defer batch.Discard(ctx)
		connection, patience := http.NewResponseController(in.writer), cmp.Or(d.UploadPatience, uploadPatience)
		items, err := receive(ctx, batch, parts, func() { _ = connection.SetReadDeadline(time.Now().Add(patience)) })
		if err != nil {
			return nil, err
		}
		return answerUpload(ctx, batch, items)
	})
	// Described afterwards, since the framework reads every body that it knows of.
	api.OpenAPI().Paths["/events/{event}/photos"].Post.RequestBody = &huma.RequestBody{
		Required: true,
		Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"files"},
			Properties: map[string]*huma.Schema{"files": {
				Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Format: "binary"}, Description: "The files, each with its name.",
			}},
		}}},
	}
}

// receive takes the files one after the other as they come. Nothing is added
// before all have come: an upload that breaks off changes nothing.
func receive(ctx context.Context, batch *media.Batch, parts *multipart.Reader, wait func()) ([]uploadItem, error) {
	var items []uploadItem
	for {
		wait()
		part, err := parts.NextRawPart()
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one means that the form ends too early
			return items, nil
		case err != nil:
			return nil, errMultipart.Because(err)
		case len(items) == maxUploadFiles:
			return nil, errManyFiles
		}
		name, ok := fileName(part)
		if !ok {
			return nil, errNotAFile
		}
		err = batch.Add(ctx, name, patientReader{part, wait})
		refusal := problem.As(err)
		switch {
		case err == nil:
			items = append(items, uploadItem{Name: name})
		case refusal == nil, refusal.Kind == problem.Unavailable: // no fault of the file
			return nil, err
		case refusal.Is(media.ErrCutShort):
			return nil, errMultipart.Because(err)
		default:
			items = append(items, uploadItem{Name: printable(name), Outcome: "refused", refusal: refusal})
		}
	}
}

// fileName is the name of a part's file as it was sent. The standard library's
// own would drop the folders of a path without a word.
func fileName(part *multipart.Part) (string, bool) {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	name, ok := params["filename"]
	return name, ok && err == nil
}

// printable shortens a name that was refused and may contain anything.
func printable(name string) string {
	const longest = 80
	runes := []rune(name)
	if len(runes) > longest {
		runes = append(runes[:longest], '…')
	}
	for i, r := range runes {
		if r < ' ' || r == 0x7f || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			runes[i] = '\ufffd'
		}
	}
	return string(runes)
}

// patientReader lets a client be slow, but not silent.
type patientReader struct {
	r    io.Reader
	wait func()
}

func (p patientReader) Read(b []byte) (int, error) {
	p.wait()
	return p.r.Read(b)
}

// answerUpload adds what was received and tells what became of each file. If
// none was taken, that is a problem: of the one file, or of all.
func answerUpload(ctx context.Context, batch *media.Batch, items []uploadItem) (*uploadOutput, error) {
	if len(items) == 0 {
		return nil, errNoFiles
	}
	if batch.Len() == 0 {
		if len(items) == 1 {
			return nil, items[0].refusal
		}
		var each []problem.Field
		for i, it := range items {
			each = append(each, field(fmt.Sprintf("files[%d]", i), it.refusal.Title+". "+it.refusal.Detail))
		}
		return nil, errAllRefused.WithFields(each...)
	}
	added, err := batch.Commit(ctx)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if items[i].refusal != nil {
			items[i].Problem = edge.Explain(items[i].refusal)
			continue
		}
		a := added[0]
		added = added[1:]
		items[i].PhotoID = &a.ID
		switch {
		case a.Restored:
			items[i].Outcome = "restored"
		case a.Duplicate:
			items[i].Outcome = "duplicate"
		default:
			items[i].Outcome = "created"
		}
	}
	out := &uploadOutput{}
	out.Body.Items = items
	return out, nil
}
