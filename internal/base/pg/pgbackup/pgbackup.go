package pgbackup

import "context"

// Base copies the whole server at address, which may be busy, into the folder
// dir, which it makes, together with the log that the copy needs.
func (p Programs) Base(ctx context.Context, address, dir string) error {
	at, _ := split(address)
	return p.run(ctx, address, "pg_basebackup", "--dbname="+at, "--pgdata="+dir, "--no-password",
		"--format=plain", "--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256")
}

// VerifyBase checks a base backup against the hashes that it carries, and reads
// the log that it needs.
func (p Programs) VerifyBase(ctx context.Context, dir string) error {
	return p.run(ctx, "", "pg_verifybackup", "--quiet", dir)
}

// Dump writes the database at address, as it is at one moment, to a file.
func (p Programs) Dump(ctx context.Context, address, file string) error {
	at, _ := split(address)
	return p.run(ctx, address, "pg_dump", "--dbname="+at, "--file="+file, "--format=custom", "--no-password")
}

// Load fills the empty database at address from a dump, in one transaction.
// Everything belongs to the address's user then. Roles are not in a dump: those
// that it grants rights to must exist.
func (p Programs) Load(ctx context.Context, address, file string) error {
	at, _ := split(address)
	return p.run(ctx, address, "pg_restore", "--dbname="+at, "--no-password", "--no-owner", "--exit-on-error", "--single-transaction", file)
}
