package scenarios

import (
	"slices"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// serial are the guards that make observations of one order come one after the
// other. Without the lock, the payment's key makes the second of two wait for
// the first and then fail; without both, the key of the order's history does.
var serial = []string{"order.lock", "uq_payment", "uq_order_history"}

func with(members ...string) []string { return append(append([]string{}, serial...), members...) }

// CutSets are the guards that back each other up, by the promise that they keep.
var CutSets = slices.Concat(spineSets, moneySets, doorSets, crashSets)

var spineSets = []verify.CutSet{
	{
		Name: "one order for one request", By: []string{"C01"}, Breaks: []string{verify.CheckAnswers},
		Members: []string{"idempotency.key", "uq_idempotency_key", "checkout.overlap", "uq_reservation_photo", "uq_reservation_event"},
	},
	{
		Name: "one key for one request", By: []string{"C02"}, Breaks: []string{verify.CheckAnswers},
		Members: []string{"idempotency.fingerprint"},
	},
	{
		Name: "one answer after a takeover", By: []string{"C04"}, Breaks: []string{verify.CheckAnswers}, Focus: "takeover",
		Members: []string{"idempotency.term"},
	},
	{
		Name: "one page for one attempt", By: []string{"C05", "C04"}, Breaks: []string{verify.CheckPages},
		Members: []string{"checkout.provider_key"},
	},
	{
		Name: "one payment", By: []string{"C06"}, Breaks: []string{"I2: payment twice"},
		Members: serial,
	},
	{
		Name: "one grant for one line", By: []string{"C06"}, Breaks: []string{"I3: line granted twice", "I3: live twice"},
		Members: with("entitlement.line_once", "uq_entitlement_line", "uq_entitlement_photo"),
	},
	{
		Name: "one live grant of one photograph", By: []string{"C03"}, Breaks: []string{"I3: live twice"}, Focus: "photo", Rounds: 5,
		Members: []string{"uq_entitlement_photo"},
	},
	{
		Name: "one live grant of one event", By: []string{"C03"}, Breaks: []string{"I3: live twice"}, Focus: "event", Rounds: 5,
		Members: []string{"entitlement.access_lock", "uq_entitlement_event"},
	},
	{
		Name: "no photograph beside its whole event", By: []string{"C03"}, Breaks: []string{"I3: granted under a whole event"}, Focus: "mixed", Rounds: 12,
		Members: []string{"entitlement.access_lock"},
	},
	{
		Name: "money that bought nothing goes back once", By: []string{"C03"}, Breaks: []string{"I2: surplus"}, Focus: "again", Rounds: 5,
		Members: with("uq_decision", "uq_refund_request_auto"),
	},
	{
		Name: "one refund", By: []string{"W11"}, Breaks: []string{"I2: refund twice"}, Focus: "news",
		Members: []string{"order.lock", "uq_refund", "uq_refund_of_request", "uq_order_history"},
	},
	{
		Name: "one ledger entry", By: []string{"C06"}, Breaks: []string{"I5: payment", verify.CheckBooks},
		Members: with("uq_ledger_entry", "uq_ledger_sale"),
	},
	{
		Name: "one receipt", By: []string{"C06"}, Breaks: []string{"I5: receipt"},
		Members: with("uq_message", "uq_message_id"),
	},
	{
		Name: "one effect of one event", By: []string{"W01"}, Breaks: []string{"I2", "I3", "I5", verify.CheckBooks},
		Members: with("uq_inbox_event", "uq_entitlement_line", "uq_entitlement_photo", "uq_ledger_entry", "uq_ledger_sale", "uq_message", "uq_message_id"),
	},
	{
		Name: "no answer before the event is stored", By: []string{"W04"}, Breaks: []string{verify.CheckAcknowledged}, Focus: "inbox.in_store",
		Members: []string{"inbox.durable"},
	},
	{
		Name: "an event ends with its effect", By: []string{"W04"}, Breaks: []string{verify.CheckKnown}, Focus: "settle.before_commit",
		Members: []string{"inbox.end_in_effect"},
	},
	{
		Name: "a late event changes nothing", By: []string{"W07"}, Breaks: []string{"I3", verify.CheckKnown, verify.CheckKept},
		Members: []string{"settle.rank"},
	},
	{
		Name: "the price is paid", By: []string{"W09"}, Breaks: []string{verify.CheckGrants}, Focus: twin.Stripe,
		Members: []string{"settle.amount"},
	},
	{
		Name: "originals are for their buyers", By: []string{"W10"}, Breaks: []string{verify.CheckAccess}, Focus: "access",
		Members: []string{"download.access"},
	},
	{
		Name: "the sender of an event", By: []string{"W06"}, Breaks: []string{verify.CheckGrants}, Focus: "stripe/wrong_secret",
		Members: []string{"stripe.signature"},
	},
	{
		Name: "the age of an event", By: []string{"W06"}, Breaks: []string{verify.CheckGrants}, Focus: "stripe/stale",
		Members: []string{"stripe.tolerance"},
	},
	{
		Name: "test money buys nothing", By: []string{"W06"}, Breaks: []string{verify.CheckGrants}, Focus: "stripe/live_mode",
		Members: []string{"stripe.livemode"},
	},
	{
		Name: "the account of an event", By: []string{"W06"}, Breaks: []string{verify.CheckGrants}, Focus: "stripe/other_account",
		Members: []string{"stripe.account"},
	},
	{
		Name: "money goes back once", By: []string{"W11"}, Breaks: []string{verify.CheckRefunds}, Focus: "call",
		Members: []string{"refund.provider_key"},
	},
	{
		Name: "no more goes back than was sold", By: []string{"W11"}, Breaks: []string{"I2: more asked back"}, Focus: "sum",
		Members: []string{"refund.sum"},
	},
}
