// Package archtest holds the architecture's rules as tests: who may import
// whom, who owns which table, and that every package says what it is.
package archtest
