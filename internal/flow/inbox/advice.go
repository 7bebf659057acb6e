package inbox

import (
	"fmt"

	"proofroom/internal/core/payment"
)

// Advice tells an operator about a row: what happened, what is safe, what to do.
type Advice struct {
	Happened string
	Safe     string
	Do       string
}

// Advise puts a row that failed or is dead into words; of other rows it says how
// they stand.
func Advise(s payment.Stored) Advice {
	what := fmt.Sprintf("%s said %q about %s", s.Provider, s.EventType, s.ObjectID)
	if s.Class == payment.ClassReply {
		what = fmt.Sprintf("%s answered a question of ours (%s) about %s", s.Provider, s.EventType, s.ObjectID)
	}
	const (
		untouched = "Nothing of it took effect: no money, no access and no order was changed by it. Everything else went on."
		look      = "See the preview first: it tries the same thing and undoes it."
	)
	switch {
	case s.State == payment.StateDead && s.Class == payment.ClassPointer:
		return Advice{
			Happened: what + ". Such events are only believed after the provider was asked, which did not lead to anything: " + s.Note + ".",
			Safe:     untouched,
			Do: "Look the object up at the provider. If it is not there, the event was forged or belongs to another shop: leave it. " +
				"If it is there, have it tried again; the provider is asked anew. " + look,
		}
	case s.State == payment.StateDead:
		return Advice{
			Happened: what + ". It could not be applied for about an hour and was given up: " + s.Note + ".",
			Safe:     untouched,
			Do:       "Once what is named there is cured, have it tried again. " + look,
		}
	case s.State == payment.StateFailed && s.Lost > 0:
		return Advice{
			Happened: fmt.Sprintf("%s. When asked about it the provider did not answer, %d times in a row: %s.", what, s.Lost, s.Note),
			Safe:     "Nothing is lost. It is asked again by itself until it answers.",
			Do:       "Nothing. If this lasts, see whether the provider has an outage and whether its key is still right.",
		}
	case s.State == payment.StateFailed:
		return Advice{
			Happened: what + ". It cannot be applied yet: " + s.Note + ".",
			Safe:     "Nothing is lost. It is tried again by itself for about an hour.",
			Do:       "Nothing for now. You may have it tried at once. " + look,
		}
	case s.State == payment.StateDone:
		return Advice{Happened: what + ". It was applied.", Safe: "What it says stands in our tables.", Do: "Nothing."}
	case s.State == payment.StateIgnored:
		return Advice{Happened: what + ". It is not about anything of ours: " + s.Note + ".", Safe: untouched, Do: "Nothing."}
	}
	return Advice{Happened: what + ". It is being worked on now.", Safe: "Nothing is lost.", Do: "Load it again in a moment."}
}
