package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/twin/mailbox"
	"proofroom/internal/proof/verify"
)

// A mail is sent once: by one instance at a time, whoever is late with what
// became of it. Where nobody can know whether it arrived it is sent once more and
// not again, and its link signs in once.
var w12 = verify.Scenario{
	ID: "W12", Title: "mail is sent once, and its link works once", Severity: verify.High,
	Rows: []string{"F2", "D2"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.Overlapping},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for round := range w.Rounds {
			for _, part := range []struct {
				name string
				run  func(context.Context, *verify.World, string) error
			}{{"lease", sentByOne}, {"term", lateWord}, {"lost", repliesLost}, {"link", linkPressed}} {
				if w.Focus != "" && w.Focus != part.name {
					continue
				}
				if err := part.run(ctx, w, fmt.Sprintf("%s-%d", part.name, round)); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// heldSender makes one instance the only one, and holds it with a message that it
// has sent and not recorded. Then another one joins it, whose clock says that
// every lease is over.
func heldSender(ctx context.Context, w *verify.World, name string) (*verify.Barrier, string, error) {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return nil, "", err
	}
	sender, err := w.Start(ctx, name+"-sender", hold.At("notify.after_send"))
	if err != nil {
		return hold, "", err
	}
	replaceAll(w, sender)
	orderID, err := sold(ctx, w, twin.PayRequest{})
	if err != nil {
		return hold, "", err
	}
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return hold, "", errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	other, err := w.Launch(ctx, verify.Launch{Name: name + "-other", Env: []string{"PROOFROOM_CLOCK_OFFSET=10m"}})
	if err != nil {
		return hold, "", err
	}
	w.Instances = append(w.Instances, other) // which gets no webhooks: they are all too old for it
	messageID, err := receiptOf(ctx, w, orderID)
	return hold, messageID, err
}

func receiptOf(ctx context.Context, w *verify.World, orderID uuid.UUID) (messageID string, err error) {
	err = w.DB.QueryRow(ctx, `SELECT message_id FROM messages WHERE order_id = $1 AND kind = 'receipt'`, orderID).Scan(&messageID)
	return messageID, err
}

// came is how many copies of a message are in the mailbox.
func came(ctx context.Context, w *verify.World, messageID string) (int, error) {
	mails, err := w.Twin.Mailbox().List(ctx, "")
	n := 0
	for _, m := range mails {
		if m.MessageID == messageID {
			n++
		}
	}
	return n, err
}

// noMore gives the senders, who look once a second, time for one copy too many.
func noMore(ctx context.Context, w *verify.World, messageID string, most int, why string) error {
	longest := 1500 * time.Millisecond
	if w.Focus != "" {
		longest = 4 * time.Second
	}
	deadline := time.Now().Add(longest)
	for {
		n, err := came(ctx, w, messageID)
		if err != nil {
			return err
		}
		if n > most {
			w.Found(verify.CheckMail, "message %s came %d times: %s", messageID, n, why)
			return nil
		}
		if time.Now().After(deadline) || !verify.Wait(ctx, 50*time.Millisecond) {
			w.Check(n == most, "message %s came %d times, not %d: %s", messageID, n, most, why)
			return nil
		}
	}
}

func messageIs(ctx context.Context, w *verify.World, messageID, state string) error {
	return w.Until(ctx, "the message is "+state, func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM messages WHERE message_id = $1 AND state = $2`, messageID, state)
		return n == 1, err
	})
}

// sentByOne has an instance send a message, and another one look for work before
// that is recorded.
func sentByOne(ctx context.Context, w *verify.World, name string) error {
	hold, messageID, err := heldSender(ctx, w, name)
	if hold != nil {
		defer hold.Open()
	}
	if err != nil {
		return err
	}
	if err := noMore(ctx, w, messageID, 1, "one instance was sending it, and another did as well"); err != nil {
		return err
	}
	hold.Open()
	return ended(ctx, w, name, messageID)
}

// ended waits for the end of a message, unless a guard is missing, and puts an
// instance with the right time in the place of the other one.
func ended(ctx context.Context, w *verify.World, name, messageID string) error {
	if w.Focus != "" {
		return nil
	}
	if err := messageIs(ctx, w, messageID, "sent"); err != nil {
		return err
	}
	fresh, err := w.Start(ctx, name+"-fresh")
	if err != nil {
		return err
	}
	w.Instances[1].Kill()
	w.Instances[1] = fresh
	w.Route(w.Instances...)
	return nil
}

// lateWord has the mail server put a message off, and the instance that it told
// so keep silent until its lease is over and another one has sent the message.
// What it says then does not count.
func lateWord(ctx context.Context, w *verify.World, name string) error {
	if err := w.Twin.Mailbox().Fault(ctx, mailbox.Fault{Kind: mailbox.Defer, Times: 1}); err != nil {
		return err
	}
	hold, messageID, err := heldSender(ctx, w, name)
	if hold != nil {
		defer hold.Open()
	}
	if err != nil {
		return err
	}
	held, taken := time.Now(), time.Now()
	if err := w.Advance(ctx, 6*time.Minute); err != nil {
		return err
	}
	if err := messageIs(ctx, w, messageID, "sent"); err != nil {
		return err
	}
	w.Span(messageID, taken, time.Now()) // the other one's send
	hold.Open()
	w.Span(messageID, held, time.Now())    // and the first one's, around it
	verify.Wait(ctx, 200*time.Millisecond) // for its word
	if err := w.Advance(ctx, time.Minute); err != nil {
		return err
	}
	if err := noMore(ctx, w, messageID, 1, "an instance that had lost it said that it was not sent"); err != nil {
		return err
	}
	return ended(ctx, w, name, messageID)
}

// repliesLost has the mail server take a message again and again, and its reply
// lost each time.
func repliesLost(ctx context.Context, w *verify.World, _ string) error {
	box := w.Twin.Mailbox()
	if err := box.Fault(ctx, mailbox.Fault{Kind: mailbox.Cut, Times: 5}); err != nil {
		return err
	}
	orderID, err := sold(ctx, w, twin.PayRequest{})
	if err != nil {
		return err
	}
	messageID, err := receiptOf(ctx, w, orderID)
	if err != nil {
		return err
	}
	for n := range 2 {
		err := w.Until(ctx, "a copy came", func() (bool, error) {
			got, err := came(ctx, w, messageID)
			waits, e := w.Int(ctx, `SELECT count(*) FROM messages WHERE message_id = $1 AND state <> 'sending'`, messageID)
			return got > n && waits == 1, errors.Join(err, e)
		})
		if err != nil {
			return err
		}
		w.Count(verify.FaultsFired, 1)
		if err := w.Advance(ctx, 6*time.Minute); err != nil {
			return err
		}
	}
	if err := noMore(ctx, w, messageID, 2, "its reply was lost, and it was sent again and again"); err != nil {
		return err
	}
	return box.Heal(ctx)
}

var linkSecret = regexp.MustCompile(`lnk_[A-Za-z0-9_-]+`)

// linkPressed uses a link from a mail many times at once, at all instances.
func linkPressed(ctx context.Context, w *verify.World, _ string) error {
	email := id.Short(8) + "@example.com"
	a := w.Call(ctx, w.Instances[0], http.MethodPost, "/api/v1/sign-in-links", "", "", map[string]any{"email": email})
	w.Check(a.Status == http.StatusAccepted, "who asked for a link was answered %s", a)
	wait, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	mail, err := w.Twin.Mailbox().Wait(wait, email, 0)
	if err != nil {
		return fmt.Errorf("the link did not come: %w", err)
	}
	secret := linkSecret.FindString(mail.Text)
	const presses = 12
	answers := make([]verify.Answer, presses)
	verify.All(presses, func(n int) {
		answers[n] = w.Call(ctx, w.Instances[n%len(w.Instances)], http.MethodPost, "/api/v1/sessions/by-link", "", "", map[string]any{"token": secret})
		w.Span(secret, answers[n].From, answers[n].To)
	})
	for _, a := range answers {
		w.Check(a.Status == http.StatusCreated || a.Status == http.StatusGone && a.Code() == "account.link_used", "a link was answered %s", a)
	}
	sessions, err := w.Int(ctx, `SELECT count(*) FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.email = $1`, email)
	if err != nil {
		return err
	}
	if sessions > 1 {
		w.Found(verify.CheckLinks, "one link signed %d sessions in", sessions)
		return nil
	}
	w.Check(sessions == 1, "a link signed %d sessions in", sessions)
	return nil
}
