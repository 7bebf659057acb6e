// Package confine takes away from a process what a decoder of pictures does
// not need. Importing it is enough.
//
// # Purpose
//
// A decoder that a hostile picture has taken over can do what its process may
// do. Before the first Go code runs, and so before a byte of a stranger is
// read, this process is left with its memory, its threads, the pipes of the
// three standard descriptors, and nothing else:
//
//   - no_new_privs: no program can raise it again
//   - limits of the kernel: 2 GiB of data, a time of the processor, 32
//     descriptors, no writing to files, no core dump
//   - no capabilities, should it run as root
//   - Landlock, with no rule that allows anything: no file, no TCP, no
//     abstract socket, no signal to or tracing of a process outside
//   - seccomp: a list of the system calls that it needs, none of which opens,
//     names or makes anything outside the process. All others answer ENOSYS, as
//     on a kernel without them, which libraries are prepared for.
//
// The image library and its modules are loaded before that, since nothing can
// be opened afterwards. What each layer stops, alone and behind the others, is
// shown by the tests beside the darkroom, with a probe that can leave layers
// out; the darkroom cannot.
//
// # Invariants
//
// A process that cannot be confined ends at once with exit code 71. A kernel
// that does not offer Landlock or seccomp, or not all of it, is no such case:
// Lacks names what is missing. Limits only ever go down. Only cmd/darkroom
// imports this package: nothing else could work under it.
//
// # Concurrency
//
// All of it is set while the process has one thread, and is inherited by each
// later one. Renew is called by the one goroutine that works photographs.
package confine
