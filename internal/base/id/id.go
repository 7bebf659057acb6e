package id

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"
)

// New returns a fresh identifier.
func New() uuid.UUID {
	u, err := uuid.NewV7()
	if err != nil {
		panic("id: the system has no randomness: " + err.Error())
	}
	return u
}

// Sorted returns the distinct ids in ascending byte order, which is also
// PostgreSQL's order of uuid: the order in which rows are locked.
func Sorted(ids []uuid.UUID) []uuid.UUID {
	out := slices.Clone(ids)
	slices.SortFunc(out, Compare)
	return slices.Compact(out)
}

// Compare orders ids as PostgreSQL does.
func Compare(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }

// Token returns a secret of 256 bits for a bearer, and the hash under which it
// is stored. The secret itself is never stored.
func Token(prefix string) (secret string, hash []byte) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("id: the system has no randomness: " + err.Error())
	}
	secret = prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, Hash(secret)
}

// Hash is the stored form of a token. A plain hash is enough, since a token
// has too much entropy to be guessed.
func Hash(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Short returns a random name of n hexadecimal digits, for things that people
// see and nothing depends on.
func Short(n int) string {
	b := make([]byte, (n+1)/2)
	if _, err := rand.Read(b); err != nil {
		panic("id: the system has no randomness: " + err.Error())
	}
	return hex.EncodeToString(b)[:n]
}
