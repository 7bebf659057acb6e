package scenarios

import "proofroom/internal/proof/verify"

// crashSets are what crashes and contention are survived by.
var crashSets = []verify.CutSet{
	{
		Name: "a commit is on the disk before anybody is told", By: []string{"X03"},
		Breaks:  []string{verify.CheckAcknowledged, verify.CheckAnswers, verify.CheckKnown, verify.CheckPages, verify.CheckRefunds},
		Members: []string{"synchronous_commit"}, Rounds: 3,
	},
	{
		Name: "who meets others in the database is tried again", By: []string{"X04"}, Breaks: []string{verify.CheckContention}, Focus: "serialization",
		Members: []string{"pg.retry", "pg.transient"},
	},
}
