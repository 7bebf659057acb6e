// Package migrations holds the schema: goose SQL files, applied in order by
// `proofroom migrate`. Each file states, by a row in schema_support, the oldest
// binary (named by the newest migration that it knows) which can still serve
// the schema that the file makes.
package migrations

import "embed"

// FS holds the migrations.
//
//go:embed *.sql
var FS embed.FS
