// Package scenarios is the catalogue of what [proofroom/internal/proof/verify]
// breaks: one file a flow, each scenario a value, and the cut sets whose removal
// must turn them red.
//
// # Owns
//
// The scenarios and the cut sets.
//
// # Invariants
//
// A scenario only breaks things and looks at what clients see. What stands in
// the database and at the provider afterwards is judged by verify, the same way
// for all of them.
//
// # Concurrency
//
// A scenario's Run is called once per World and may use many goroutines.
package scenarios

import "proofroom/internal/proof/verify"

// All lists the scenarios in the order of the catalogue.
var All = []verify.Scenario{c01, c02, c03, c04, c05, c06, c07, c09, w01, w02, w03, w04, w05, w06, w07, w08, w09, w10, w11, w12, x01, x03, x04, x05, x07, x08, x09, s01, z01}
