package paypal

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// The stages of a dispute.
const (
	stageInquiry    = "INQUIRY"    // payer and seller talk, and no money moves
	stageChargeback = "CHARGEBACK" // PayPal holds the money and decides
)

const disputeResolved = "RESOLVED"

// dispute contests a capture. The host's lock guards it.
type dispute struct {
	id        string
	created   time.Time
	updated   time.Time
	standing  string // in the words of all providers
	stage     string
	amount    int64
	capture   *capture
	movements []movement
	events    []string // of the last step
}

// movement is money of the seller's.
type movement struct {
	at     time.Time
	amount int64 // signed: below zero is taken
	reason string
}

func (d *dispute) chargeback() bool { return d.stage == stageChargeback }

func (d *dispute) open() bool { return d.status() != disputeResolved }

// held is what was taken for the dispute itself and not given back.
func (d *dispute) held() int64 {
	var n int64
	for _, m := range d.movements {
		if m.reason == "DISPUTE_SETTLEMENT" {
			n -= m.amount
		}
	}
	return n
}

func (d *dispute) status() string {
	switch d.standing {
	case host.DisputeWarning, host.DisputeNeedsResponse:
		return "WAITING_FOR_SELLER_RESPONSE"
	case host.DisputeUnderReview:
		return "UNDER_REVIEW"
	}
	return disputeResolved
}

func (d *dispute) state() string {
	switch d.standing {
	case host.DisputeWarning:
		return "OPEN_INQUIRIES"
	case host.DisputeNeedsResponse:
		return "REQUIRED_ACTION"
	case host.DisputeUnderReview:
		return "UNDER_PAYPAL_REVIEW"
	}
	return disputeResolved
}

func (d *dispute) outcome() string {
	switch d.standing {
	case host.DisputeWon:
		return "RESOLVED_SELLER_FAVOUR"
	case host.DisputeLost:
		return "RESOLVED_BUYER_FAVOUR"
	case host.DisputeWarningClosed, host.DisputePrevented:
		return "CANCELED_BY_BUYER"
	}
	return ""
}

// OpenDispute contests a capture, as an inquiry or at once as a chargeback.
func (t *Twin) OpenDispute(o host.DisputeOrder) (host.DisputeView, error) {
	p, ok := t.captures[o.Payment]
	if !ok {
		return host.DisputeView{}, host.Missing("capture", o.Payment)
	}
	if err := host.CheckEventFaults(o.Faults); err != nil {
		return host.DisputeView{}, err
	}
	amount := o.Amount
	if amount == 0 {
		amount = p.amount - p.refunded
	}
	switch {
	case p.status == capturePending || p.status == captureDeclined:
		return host.DisputeView{}, host.Conflict("the capture %s took no money", p.id)
	case p.dispute != nil && p.dispute.open():
		return host.DisputeView{}, host.Conflict("the capture %s is disputed already", p.id)
	case amount < 1 || amount > p.amount || amount%step(p.currency) != 0:
		return host.DisputeView{}, host.BadRequest("%d of %d %s cannot be disputed", amount, p.amount, p.currency)
	}
	d := &dispute{
		id: "PP-R-TWN-" + host.RandomOf("0123456789", 8), created: t.host.Now(), standing: host.DisputeNeedsResponse, stage: stageChargeback,
		amount: amount, capture: p,
	}
	d.updated = d.created
	if o.Warning {
		d.standing, d.stage = host.DisputeWarning, stageInquiry
	}
	t.disputes[d.id] = d
	t.disputeSeq = append(t.disputeSeq, d)
	p.dispute = d
	if !o.Warning {
		t.hold(d)
	}
	t.tellDispute(d, "CREATED", "A new dispute opened with Case # "+d.id, o.Faults)
	return viewDispute(d), nil
}

// hold takes the disputed money, and a fee the first time.
func (t *Twin) hold(d *dispute) {
	t.moveMoney(d, -d.amount, "DISPUTE_SETTLEMENT", host.EntryDispute)
	for _, m := range d.movements {
		if m.reason == "CHARGEBACK_FEE" {
			return
		}
	}
	if host.Decimals(d.capture.currency) == 2 {
		t.moveMoney(d, -2000, "CHARGEBACK_FEE", host.EntryDisputeFee)
	}
}

func (t *Twin) moveMoney(d *dispute, amount int64, reason, kind string) {
	d.movements = append(d.movements, movement{t.host.Now(), amount, reason})
	t.post(kind, d.id, amount, d.capture)
}

func (t *Twin) tellDispute(d *dispute, what, summary string, faults []host.Fault) {
	st := t.host.Begin(d.capture.order.source, faults)
	t.emit(st, host.Event{Kind: "CUSTOMER.DISPUTE." + what, Object: d.id}, "dispute", "", summary, t.renderDispute(d))
	st.Send()
	d.events = st.IDs()
}

// MoveDispute gives a dispute another status. A decision can be reopened and
// changed.
func (t *Twin) MoveDispute(id, to string, faults []host.Fault) (host.DisputeView, error) {
	d, ok := t.disputes[id]
	if !ok {
		return host.DisputeView{}, host.Missing("dispute", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.DisputeView{}, err
	}
	closed := []string{host.DisputeWon, host.DisputeLost, host.DisputePrevented}
	allowed := map[string][]string{
		host.DisputeWarning:       {host.DisputeWarningClosed, host.DisputeNeedsResponse},
		host.DisputeNeedsResponse: append(closed, host.DisputeUnderReview),
		host.DisputeUnderReview:   append(closed, host.DisputeNeedsResponse),
		host.DisputeLost:          {host.DisputeWon, host.DisputeUnderReview},
		host.DisputeWon:           {host.DisputeLost, host.DisputeUnderReview},
	}
	if !slices.Contains(allowed[d.standing], to) {
		return host.DisputeView{}, host.Conflict("the dispute %s is %s and cannot become %q", id, d.standing, to)
	}
	d.standing, d.updated = to, t.host.Now()
	what, summary := "UPDATED", "A dispute was updated with case # "+d.id
	switch to {
	case host.DisputeNeedsResponse, host.DisputeLost:
		d.stage = stageChargeback
		if d.held() == 0 {
			t.hold(d)
		}
	case host.DisputeWon, host.DisputePrevented:
		if held := d.held(); held > 0 {
			t.moveMoney(d, held, "DISPUTE_SETTLEMENT", host.EntryDisputeReversal)
		}
	}
	if !d.open() {
		what, summary = "RESOLVED", "A dispute was resolved with case # "+d.id
	}
	t.tellDispute(d, what, summary, faults)
	return viewDispute(d), nil
}

func (t *Twin) getDispute(c *host.Call) host.Answer {
	d, ok := t.disputes[c.ID()]
	if !ok {
		return missing
	}
	return good(http.StatusOK, t.renderDispute(d))
}

// listDisputes answers newest first, a page at a time.
func (t *Twin) listDisputes(c *host.Call) host.Answer {
	q := c.Request.URL.Query()
	size, from := 10, 0
	if text := q.Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 50 {
			return refuse(issue{"INVALID_PARAMETER_VALUE", ""})
		}
		size = n
	}
	if token := q.Get("next_page_token"); token != "" {
		raw, err := base64.StdEncoding.DecodeString(token)
		if err == nil {
			from, err = strconv.Atoi(string(raw))
		}
		if err != nil || from < 0 {
			return refuse(issue{"INVALID_PARAMETER_VALUE", ""})
		}
	}
	times := map[string]time.Time{}
	for _, name := range []string{"start_time", "update_time_after", "update_time_before"} {
		if text := q.Get(name); text != "" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return refuse(issue{"INVALID_PARAMETER_SYNTAX", ""})
			}
			times[name] = at
		}
	}
	if q.Has("start_time") && q.Has("disputed_transaction_id") {
		return refuse(issue{"INVALID_PARAMETER_VALUE", ""})
	}
	var found []*dispute
	for _, d := range slices.Backward(t.disputeSeq) {
		before, until := times["update_time_before"], q.Has("update_time_before")
		if q.Has("disputed_transaction_id") && q.Get("disputed_transaction_id") != d.capture.id || d.created.Before(times["start_time"]) ||
			d.updated.Before(times["update_time_after"]) || until && d.updated.After(before) ||
			q.Has("dispute_state") && !slices.Contains(strings.Split(q.Get("dispute_state"), ","), d.state()) {
			continue
		}
		found = append(found, d)
	}
	out := object{"links": []object{link(t.base()+"/v1/customer/disputes", "self", "GET")}}
	found = found[min(from, len(found)):]
	if len(found) > size {
		q.Set("next_page_token", base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(from+size))))
		out["links"] = append(out["links"].([]object), link(t.base()+"/v1/customer/disputes?"+q.Encode(), "next", "GET"))
		found = found[:size]
	}
	items := []object{}
	for _, d := range found {
		items = append(items, t.renderDisputeItem(d))
	}
	if len(items) > 0 { // PayPal's description has no empty list
		out["items"] = items
	}
	return good(http.StatusOK, out)
}
