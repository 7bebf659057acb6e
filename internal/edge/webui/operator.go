package webui

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/refund"
)

// Operating is what operators work with.
type Operating struct {
	Desk *inbox.Desk
	// Orders lists orders, newest first.
	Orders func(ctx context.Context, f order.Filter) ([]order.Found, error)
	// Refunds gives money back and decides about orders that wait for a person.
	Refunds *refund.Service
}

const (
	queueShows    = 10 // of each kind, on the first page
	operatorsPage = 50

	queuePath  = "/operator/queue"
	eventsPath = queuePath + "/events"
	ordersPath = "/operator/orders"
)

var errReason = problem.Define(problem.Unprocessable, "operator.reason", "A reason is needed",
	"Nothing was done. Say in up to 500 characters why; it is kept in the audit log.")

// operate adds the pages of operators; nobody else gets past their door.
func (u *ui) operate(get, post func(string, handler)) {
	door := func(h handler) handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			if _, err := edge.RequireRole(r.Context(), account.Operator); err != nil {
				return err
			}
			return h(w, r)
		}
	}
	get(queuePath, door(u.queue))
	get(eventsPath, door(u.stuckEvents))
	get(eventsPath+"/{id}", door(u.stuckEvent))
	post(eventsPath+"/{id}/preview", door(u.previewEvent))
	post(eventsPath+"/{id}/replay", door(u.replayEvent))
	get(ordersPath, door(u.allOrders))
	get(ordersPath+"/{id}", door(u.orderEvidence))
	post(ordersPath+"/{id}/preview", door(u.previewDecision))
	post(ordersPath+"/{id}/decide", door(u.decide))
	post(ordersPath+"/{id}/refund", door(u.refund))
}

// queueView is what waits for an operator.
type queueView struct {
	Orders       []order.Found
	Dead, Failed []payment.Stored
}

func (u *ui) queue(w http.ResponseWriter, r *http.Request) error {
	var v queueView
	var err error
	if v.Orders, err = u.Operating.Orders(r.Context(), order.Filter{State: order.Review, Before: uuid.Max, Limit: queueShows}); err != nil {
		return err
	}
	if v.Dead, err = u.Operating.Desk.Stuck(r.Context(), payment.StateDead, uuid.Max, queueShows); err != nil {
		return err
	}
	if v.Failed, err = u.Operating.Desk.Stuck(r.Context(), payment.StateFailed, uuid.Max, queueShows); err != nil {
		return err
	}
	return u.show(w, r, "What waits for you", queuePage(v))
}

// before is where a list goes on.
func before(q url.Values) (uuid.UUID, error) {
	s := q.Get("before")
	if s == "" {
		return uuid.Max, nil
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, edge.ErrNotFound
	}
	return id, nil
}

// following cuts a list that was read one longer than shown, and returns the
// address of what follows.
func following[T any](rows []T, path string, q url.Values, at func(T) uuid.UUID) (shown []T, more string) {
	if len(rows) <= operatorsPage {
		return rows, ""
	}
	rows = rows[:operatorsPage]
	q.Set("before", at(rows[operatorsPage-1]).String())
	return rows, path + "?" + q.Encode()
}

func (u *ui) stuckEvents(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	from, err := before(q)
	if err != nil {
		return err
	}
	title, state := "Events that were given up", payment.StateDead
	if q.Get("state") == payment.StateFailed {
		title, state = "Events that are tried again", payment.StateFailed
	}
	rows, err := u.Operating.Desk.Stuck(r.Context(), state, from, operatorsPage+1)
	if err != nil {
		return err
	}
	rows, more := following(rows, eventsPath, url.Values{"state": {state}}, func(s payment.Stored) uuid.UUID { return s.ID })
	return u.show(w, r, title, stuckPage(rows, more))
}

func (u *ui) stuckEvent(w http.ResponseWriter, r *http.Request) error {
	e, err := u.evidence(r)
	if err != nil {
		return err
	}
	return u.show(w, r, "An event of "+e.Provider, eventPageOf(e, nil, nil))
}

func (u *ui) evidence(r *http.Request) (payment.Evidence, error) {
	rowID, err := pathID(r, "id")
	if err != nil {
		return payment.Evidence{}, err
	}
	return u.Operating.Desk.Evidence(r.Context(), rowID)
}

// previewEvent shows what another try would change, and asks whether to.
func (u *ui) previewEvent(w http.ResponseWriter, r *http.Request) error {
	e, err := u.evidence(r)
	if err != nil {
		return err
	}
	effect, err := u.Operating.Desk.Preview(r.Context(), e.ID)
	if err != nil {
		return behind(err, eventPath(e.ID))
	}
	return u.show(w, r, "What another try would do", eventPageOf(e, &effect, nil))
}

func (u *ui) replayEvent(w http.ResponseWriter, r *http.Request) error {
	e, err := u.evidence(r)
	if err != nil {
		return err
	}
	f, err := form(w, r)
	if err != nil {
		return err
	}
	seen, err := strconv.Atoi(f.Get("replays"))
	if err != nil {
		return errForm
	}
	reason, err := reasonOf(f)
	if err != nil {
		return behind(err, eventPath(e.ID))
	}
	if _, err := u.Operating.Desk.Replay(r.Context(), edge.Actor(r.Context()).AccountID, e.ID, seen, reason); err != nil {
		return behind(err, eventPath(e.ID))
	}
	return seeOther(w, r, eventPath(e.ID))
}

// reasonOf is why an operator does something.
func reasonOf(f url.Values) (string, error) {
	reason := strings.TrimSpace(f.Get("reason"))
	if reason == "" || len([]rune(reason)) > 500 {
		return "", errReason
	}
	return reason, nil
}

// behind gives a problem the way back to what it is about.
func behind(err error, path string) error {
	if p := problem.As(err); p != nil && p.Link == "" {
		return p.WithLink(path)
	}
	return err
}

func eventPath(rowID uuid.UUID) string   { return eventsPath + "/" + rowID.String() }
func orderPath(orderID uuid.UUID) string { return ordersPath + "/" + orderID.String() }

// ordersView is a list of orders and what was looked for.
type ordersView struct {
	State, Email string
	Orders       []order.Found
	More         string
}

// orderStates are those that can be looked for, in the order of the form.
var orderStates = []order.State{
	order.Review, order.Disputed, order.Paid, order.PartiallyRefunded, order.Refunded, order.AwaitingPayment, order.Created, order.Expired, order.Canceled,
}

func (u *ui) allOrders(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	from, err := before(q)
	if err != nil {
		return err
	}
	v := ordersView{State: q.Get("state"), Email: q.Get("email")}
	rows, err := u.Operating.Orders(r.Context(), order.Filter{State: order.State(v.State), Email: v.Email, Before: from, Limit: operatorsPage + 1})
	if err != nil {
		return err
	}
	v.Orders, v.More = following(rows, ordersPath, url.Values{"state": {v.State}, "email": {v.Email}}, func(o order.Found) uuid.UUID { return o.ID })
	return u.show(w, r, "Orders", ordersPage(v))
}
