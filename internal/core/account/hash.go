package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
)

// hasher hashes and checks passwords, a few at a time: each takes params.Memory
// KiB while it runs.
type hasher struct {
	params   argon2id.Params
	slots    chan struct{}
	patience time.Duration
	nobody   string // a hash that no password has, of the same cost
}

// newHasher uses the parameters that OWASP recommends for servers: 19 MiB and
// two passes. Two at once keep the memory of a storm below 40 MiB.
func newHasher() *hasher {
	return hasherOf(argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}, 2, 5*time.Second)
}

func hasherOf(p argon2id.Params, slots int, patience time.Duration) *hasher {
	salt, key := make([]byte, p.SaltLength), make([]byte, p.KeyLength)
	_, _ = rand.Read(salt) // documented never to fail
	_, _ = rand.Read(key)
	return &hasher{
		params: p, slots: make(chan struct{}, slots), patience: patience,
		nobody: fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Iterations, p.Parallelism,
			base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)),
	}
}

// hash returns the stored form of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	release, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return argon2id.CreateHash(password, &h.params)
}

// check compares a password with a stored hash. An empty hash stands for nobody
// and costs the same.
func (h *hasher) check(ctx context.Context, password, stored string) (bool, error) {
	release, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	if stored == "" {
		stored = h.nobody
	}
	return argon2id.ComparePasswordAndHash(password, stored)
}

func (h *hasher) enter(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(h.patience)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, ErrBusy.After(h.patience)
	}
}
