package twin

import (
	"proofroom/internal/proof/twin/flutterwave"
	"proofroom/internal/proof/twin/host"
	"proofroom/internal/proof/twin/paypal"
	"proofroom/internal/proof/twin/stripe"
)

// DefaultSecretKey is accepted as Stripe's when no key is configured.
const DefaultSecretKey = stripe.DefaultSecretKey

// The application that PayPal's part takes when none is configured.
const (
	DefaultPayPalClient = paypal.DefaultClientID
	DefaultPayPalSecret = paypal.DefaultSecret
)

// DefaultFlutterwaveKey is accepted as Flutterwave's when no key is configured.
const DefaultFlutterwaveKey = flutterwave.DefaultSecretKey

// PayPalConfig is one application at PayPal.
type PayPalConfig = paypal.Config

// FlutterwaveConfig is one account at Flutterwave.
type FlutterwaveConfig = flutterwave.Config

// MethodLost is a way to pay at Flutterwave only: the card is charged and the
// payer does not come back.
const MethodLost = flutterwave.MethodLost

// The providers' names.
const (
	Stripe      = host.Stripe
	PayPal      = host.PayPal
	Flutterwave = host.Flutterwave
)

// What the control surface takes and shows; package host explains each.
type (
	Endpoint       = host.Endpoint
	Fault          = host.Fault
	Rates          = host.Rates
	Shot           = host.Shot
	FaultSettings  = host.FaultSettings
	State          = host.State
	Counters       = host.Counters
	Clock          = host.Clock
	ControlError   = host.ControlError
	PageFilter     = host.PageFilter
	PageView       = host.PageView
	PayRequest     = host.PayRequest
	PayResult      = host.PayResult
	RefundOrder    = host.RefundOrder
	RefundView     = host.RefundView
	DisputeOrder   = host.DisputeOrder
	DisputeView    = host.DisputeView
	EventFilter    = host.EventFilter
	EventView      = host.EventView
	DeliveryFilter = host.DeliveryFilter
	DeliveryView   = host.DeliveryView
	Attempt        = host.Attempt
	Redelivery     = host.Redelivery
	Delivered      = host.Delivered
	Forgery        = host.Forgery
	Forged         = host.Forged
	Entry          = host.Entry
	Totals         = host.Totals
	PaymentTotals  = host.PaymentTotals
	LedgerDump     = host.LedgerDump
	SessionFilter  = stripe.SessionFilter
	SessionView    = stripe.SessionView
)

// Ways to pay, see host.PayRequest.
const (
	MethodCard     = host.MethodCard
	MethodDelayed  = host.MethodDelayed
	MethodDecline  = host.MethodDecline
	MethodDeclined = host.MethodDeclined
	MethodDenied   = host.MethodDenied
)

// Statuses of a page.
const (
	PageOpen       = host.PageOpen
	PageApproved   = host.PageApproved
	PageProcessing = host.PageProcessing
	PagePaid       = host.PagePaid
	PageExpired    = host.PageExpired
)

// Statuses of a dispute.
const (
	DisputeWarning       = host.DisputeWarning
	DisputeWarningClosed = host.DisputeWarningClosed
	DisputeNeedsResponse = host.DisputeNeedsResponse
	DisputeUnderReview   = host.DisputeUnderReview
	DisputeWon           = host.DisputeWon
	DisputeLost          = host.DisputeLost
	DisputePrevented     = host.DisputePrevented
)

// The faults.
const (
	CutReply        = host.CutReply
	ErrorAfter      = host.ErrorAfter
	ErrorBefore     = host.ErrorBefore
	ForgetKey       = host.ForgetKey
	RateLimit       = host.RateLimit
	LockTimeout     = host.LockTimeout
	Slow            = host.Slow
	Stale           = host.Stale
	MixedUp         = host.MixedUp
	PayExpired      = host.PayExpired
	Decline         = host.Decline
	RefundPending   = host.RefundPending
	CapturePending  = host.CapturePending
	CaptureDeclined = host.CaptureDeclined
	CaptureDenied   = host.CaptureDenied
	Duplicate       = host.Duplicate
	Reorder         = host.Reorder
	DelayEvent      = host.DelayEvent
	Drop            = host.Drop
	Silence         = host.Silence
)

// Faults lists every fault.
var Faults = host.Faults

// States of a delivery.
const (
	DeliveryWaiting      = host.DeliveryWaiting
	DeliveryAcknowledged = host.DeliveryAcknowledged
	DeliveryGivenUp      = host.DeliveryGivenUp
)

// Kinds of ledger entries.
const (
	EntryCharge          = host.EntryCharge
	EntryFee             = host.EntryFee
	EntryRefund          = host.EntryRefund
	EntryRefundFailure   = host.EntryRefundFailure
	EntryReversal        = host.EntryReversal
	EntryDispute         = host.EntryDispute
	EntryDisputeReversal = host.EntryDisputeReversal
	EntryDisputeFee      = host.EntryDisputeFee
)

// Kinds of forgeries of Stripe's webhooks.
const (
	ForgeWrongSecret  = stripe.ForgeWrongSecret
	ForgeUnsigned     = stripe.ForgeUnsigned
	ForgeV0           = stripe.ForgeV0
	ForgeStale        = stripe.ForgeStale
	ForgeFuture       = stripe.ForgeFuture
	ForgeAltered      = stripe.ForgeAltered
	ForgeAppended     = stripe.ForgeAppended
	ForgeReformatted  = stripe.ForgeReformatted
	ForgeBOM          = stripe.ForgeBOM
	ForgeOtherAccount = stripe.ForgeOtherAccount
	ForgeLiveMode     = stripe.ForgeLiveMode
	ForgeOtherBody    = stripe.ForgeOtherBody
)

// Forgeries lists the forgeries of Stripe's webhooks.
var Forgeries = stripe.Forgeries

// PayPalForgeries lists the forgeries of PayPal's webhooks that must be refused.
// ForgeSameCRC is the one that PayPal's signature cannot tell from a genuine one:
// what it claims must not be believed.
var PayPalForgeries = paypal.Forgeries

// ForgeSameCRC is explained at PayPalForgeries.
const ForgeSameCRC = paypal.ForgeSameCRC

// FlutterwaveForgeries lists the forgeries of Flutterwave's webhooks that must be
// refused; FlutterwaveDeceptions those that its secret hash cannot tell from
// genuine ones: what they claim must not be believed.
var (
	FlutterwaveForgeries  = flutterwave.Forgeries
	FlutterwaveDeceptions = flutterwave.Deceptions
)
