package scenarios

import "proofroom/internal/proof/verify"

// doorSets are the guards of what comes in from outside: signatures, limits, and
// the keys of the schema, each of which has to hold by itself.
var doorSets = []verify.CutSet{
	{
		Name: "the sender of PayPal's events", By: []string{"W06"}, Breaks: []string{verify.CheckGenuine}, Focus: "paypal/other_key",
		Members: []string{"paypal.signature"},
	},
	{
		Name: "how PayPal's events are signed", By: []string{"W06"}, Breaks: []string{verify.CheckGenuine}, Focus: "paypal/algorithm",
		Members: []string{"paypal.algorithm"},
	},
	{
		Name: "whose certificate signs for PayPal", By: []string{"W06"}, Breaks: []string{verify.CheckGenuine}, Focus: "paypal/other_authority",
		Members: []string{"paypal.certificate"},
	},
	{
		Name: "where PayPal's certificates are", By: []string{"W06"}, Breaks: []string{verify.CheckReached}, Focus: "address",
		Members: []string{"paypal.certificate_host"},
	},
	{
		Name: "for which webhook PayPal signs", By: []string{"W06"}, Breaks: []string{verify.CheckGenuine}, Focus: "paypal/other_webhook",
		Members: []string{"paypal.webhook_id"},
	},
	{
		Name: "the sender of Flutterwave's events", By: []string{"W06"}, Breaks: []string{verify.CheckGenuine}, Focus: "flutterwave/other_hash",
		Members: []string{"flutterwave.signature"},
	},
	{
		Name: "so many tries and no more", By: []string{"X01"}, Breaks: []string{verify.CheckLimits}, Focus: "access-code-from",
		Members: []string{"ratelimit.take"},
	},
	{
		Name: "one sender of a mail at a time", By: []string{"W12"}, Breaks: []string{verify.CheckMail}, Focus: "lease",
		Members: []string{"outbox.lease"},
	},
	{
		Name: "a late word about a mail does not count", By: []string{"W12"}, Breaks: []string{verify.CheckMail}, Focus: "term",
		Members: []string{"outbox.term"},
	},
	{
		Name: "a mail that may have come is repeated once", By: []string{"W12"}, Breaks: []string{verify.CheckMail}, Focus: "lost",
		Members: []string{"outbox.lost"},
	},
	{
		Name: "a link works once", By: []string{"W12"}, Breaks: []string{verify.CheckLinks}, Focus: "link",
		Members: []string{"account.link_once"},
	},
	{
		Name: "no answer while nothing can be stored", By: []string{"W05"}, Breaks: []string{verify.CheckAcknowledged}, Focus: "database",
		Members: []string{"inbox.durable"},
	},
	{
		Name: "an event ends with its effect, or neither does", By: []string{"W05"}, Breaks: []string{verify.CheckKnown}, Focus: "commit",
		Members: []string{"inbox.end_in_effect"},
	},
	keySet("one attempt for one page", "uq_attempt_ref"),
	keySet("one row for one payment", "uq_payment"),
	keySet("one row for one refund", "uq_refund"),
	keySet("one grant row for one line", "uq_entitlement_line"),
	keySet("one live row for a buyer and a photograph", "uq_entitlement_photo"),
	keySet("one live row for a buyer and an event", "uq_entitlement_event"),
	keySet("one row for one event of a provider", "uq_inbox_event"),
}

func keySet(promise, key string) verify.CutSet {
	return verify.CutSet{
		Name: promise, By: []string{"S01"}, Breaks: []string{verify.CheckKeys + ": " + key}, Focus: key, Members: []string{key},
	}
}
