package scenarios

import "proofroom/internal/proof/verify"

// moneySets are the guards of money: taken, given back, disputed and lost.
var moneySets = []verify.CutSet{
	{
		Name: "money is taken only while the order waits", By: []string{"C09"}, Breaks: []string{verify.CheckTaken}, Focus: "closed",
		Members: []string{"capture.payable"},
	},
	{
		Name: "money is taken only in time", By: []string{"C09"}, Breaks: []string{verify.CheckTaken}, Focus: "past",
		Members: []string{"capture.payable"},
	},
	{
		Name: "what is taken was shown", By: []string{"W09"}, Breaks: []string{verify.CheckTaken}, Focus: "shown",
		Members: []string{"paypal.capture"},
	},
}
