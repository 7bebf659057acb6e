// Package pool keeps the darkroom's children: it starts them, hands them one
// photograph at a time, and ends them.
//
// # Purpose
//
// The server never opens a picture itself. A child does, and it may crash,
// hang or be taken over by what it opens. This package makes of that one
// function, Develop, with three outcomes: the derivatives, the verdict that
// the photograph is at fault (*wire.Unreadable), or ErrUnavailable, which
// means that the machine is at fault and the photograph should be tried
// again later.
//
// # What it owns
//
// The child processes and nothing else: no table, no file.
//
// # Invariants
//
//   - A child gets an empty environment, a process group of its own and the
//     three standard descriptors. The server hides its memory and environment
//     from all processes of its user before it starts one.
//   - A photograph goes to the child as it is read, a small buffer at a time:
//     the server never holds one.
//   - A child that does not answer in time is killed with its whole group.
//   - A child is replaced after Config.MaxUses photographs, and after any
//     that it opened and could not develop.
//   - A photograph whose file cannot be read, or is slow to read, is not
//     blamed, and neither is the darkroom.
//   - A photograph is blamed for a crash or for being slow only after it
//     failed twice, the second time on a fresh child, and a fresh child then
//     developed a picture known to be good.
//
// # Concurrency
//
// All methods may be called at once from any number of goroutines; at most
// Config.Size photographs are developed at a time and the others wait. No
// state is shared between instances of the server.
package pool
