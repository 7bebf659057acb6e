// Package wire is the pipe protocol between the server and the darkroom: the
// child process that alone opens pictures from strangers.
//
// # Purpose
//
// One frame a message, over the child's standard input and output:
//
//	child:  Hello                       once, when it is ready to work
//	parent: Request  (one photograph)   then waits
//	child:  Reply    (pictures and facts, or why it is unreadable)
//
// A frame is eight bytes of header (magic "DR", version, kind, length of the
// payload as a big-endian uint32) and a payload: the length of a JSON head,
// the head, then the bytes of the pictures one after the other, each with the
// length that the head states.
//
// # Invariants
//
// Both ends distrust each other. A reader checks magic, version, kind and
// every length before it believes them, grows its buffers only as bytes
// really arrive (a frame that announces 100 MB and brings ten bytes costs ten
// bytes), and answers an error for whatever else it finds, never a panic. A
// Reply is also checked for sense (sizes, formats, colour, time), because a
// child that a hostile picture has taken over may say anything.
//
// # Concurrency
//
// The functions keep no state. A stream has one reader and one writer.
package wire
