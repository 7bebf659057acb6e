package guard

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what sort of check a guard is, in the field's words.
type Kind string

// The kinds of guards in code.
const (
	Claim       Kind = "claim"       // a state condition on an update
	Lock        Kind = "lock"        // a row or advisory lock
	Lease       Kind = "lease"       // a term that a stale owner no longer holds
	Key         Kind = "key"         // an idempotency key sent to a provider
	Signature   Kind = "signature"   // proof of who sent a message
	Fingerprint Kind = "fingerprint" // proof that a repeated request is the same
	Check       Kind = "check"       // a comparison of facts before an effect
)

// Guard is one named check. Define makes it; On asks whether to apply it.
type Guard struct {
	Name   string
	Kind   Kind
	Breaks string // what goes wrong without it
}

var all []*Guard

// Define registers a guard. It is called from package variables, so a name
// used twice is a programming error and panics.
func Define(name string, kind Kind, breaks string) *Guard {
	for _, g := range all {
		if g.Name == name {
			panic(fmt.Sprintf("guard: %q is defined twice", name))
		}
	}
	g := &Guard{Name: name, Kind: kind, Breaks: breaks}
	all = append(all, g)
	return g
}

// All lists the guards of this binary by name.
func All() []*Guard {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b *Guard) int { return strings.Compare(a.Name, b.Name) })
	return out
}
