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
	{
		Name: "one call for one page without keys", By: []string{"C05"}, Breaks: []string{verify.CheckPages}, Focus: "keyless",
		Members: []string{"checkout.called"},
	},
	{
		Name: "money goes back once without keys", By: []string{"W11"}, Breaks: []string{verify.CheckRefunds}, Focus: "lost",
		Members: []string{"refund.sent"},
	},
	{
		Name: "a refund that was asked for is looked for", By: []string{"W11"}, Breaks: []string{verify.CheckRefunds}, Focus: "lost",
		Members: []string{"flutterwave.refund_once"},
	},
	{
		Name: "a refund without a name is ours", By: []string{"W11"}, Breaks: []string{"I2: more asked back"}, Focus: "unnamed",
		Members: []string{"order.refund_match"},
	},
	{
		Name: "one dispute", By: []string{"W11"}, Breaks: []string{"I5: dispute twice", "I5: disputed money twice"}, Focus: "dispute",
		Members: []string{"order.lock", "uq_dispute", "uq_dispute_movement", "uq_order_history"},
	},
	{
		Name: "a refund is taken back once", By: []string{"W11"}, Breaks: []string{"I5: refund", verify.CheckBooks}, Focus: "undone", Rounds: 4,
		Members: []string{"order.lock", "uq_refund", "uq_order_history", "ledger.wallet_lock", "uq_ledger_entry", "uq_ledger_undoes"},
	},
	{
		Name: "an event is done when its object is as far", By: []string{"C09"}, Breaks: []string{verify.CheckKnown}, Focus: "behind",
		Members: []string{"flutterwave.claim"},
	},
	{
		Name: "an answer is about what was asked", By: []string{"C09"}, Breaks: []string{verify.CheckKnown}, Focus: "mixed",
		Members: []string{"flutterwave.asked"},
	},
}
