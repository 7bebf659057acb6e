package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // an event in Tokyo has a time also on a machine without zones

	"proofroom/internal/base/problem"
)

// Wall is a time as people at the event read it off a wall clock.
type Wall struct {
	Zone  string    // IANA name
	Local time.Time // the clock's reading; its own location (UTC) means nothing
	At    time.Time // the instant that it names, in UTC
}

// LocalText is the reading as it is entered and shown, without a zone:
// "2026-03-29T18:30", with seconds only if there are any.
func (w Wall) LocalText() string {
	if w.Local.Second() != 0 {
		return w.Local.Format("2006-01-02T15:04:05")
	}
	return w.Local.Format("2006-01-02T15:04")
}

// Problems of times. Details name the place and what to enter instead.
var (
	ErrZone = problem.Define(problem.Unprocessable, "event.zone_unknown", "Unknown time zone",
		"Name a zone of the IANA database, such as Europe/Paris or Africa/Accra.")
	ErrTime = problem.Define(problem.Unprocessable, "event.time_unreadable", "Unreadable time",
		"Write the local time like 2026-05-30T18:30.")
	ErrTimeGap = problem.Define(problem.Unprocessable, "event.time_skipped", "That time does not exist",
		"Clocks skip that time in that zone; choose an earlier or a later one.")
	ErrTimeOverlap = problem.Define(problem.Unprocessable, "event.time_ambiguous", "That time comes twice",
		"Clocks are set back then; add the offset that you mean.")
)

// zoneName is the shape of names in the IANA database. It leaves out what some
// machines have beside it: "posix/" and "right/" trees, "localtime".
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*){0,2}$`)

// LoadZone finds a zone by its IANA name. Go's own lookup also takes "" and
// "Local", which mean whatever the machine is set to.
func LoadZone(name string) (*time.Location, error) {
	if len(name) > 64 || !zoneName.MatchString(name) || name == "Local" || name == "Factory" {
		return nil, ErrZone
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, ErrZone.Because(err)
	}
	return loc, nil
}

var wallText = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?$`)

// ParseWall reads a local time such as "2026-10-25T02:30" in a zone. A reading
// that the zone's clocks skip is ErrTimeGap. One that comes twice is
// ErrTimeOverlap, unless the text goes on with the offset meant, as in
// "2026-10-25T02:30+01:00"; a stated offset is always checked.
func ParseWall(zone, local string) (Wall, error) {
	loc, err := LoadZone(zone)
	if err != nil {
		return Wall{}, err
	}
	m := wallText.FindStringSubmatch(local)
	if m == nil {
		return Wall{}, ErrTime
	}
	reading, stated := m[1]+"T"+m[2], m[3]
	if len(m[2]) == len("15:04") {
		reading += ":00"
	}
	wall, err := time.Parse("2006-01-02T15:04:05", reading)
	if err != nil {
		return Wall{}, ErrTime.Because(err)
	}
	if y := wall.Year(); y < 1970 || y > 2200 {
		return Wall{}, ErrTime.Detailf("The year %d is out of range.", y)
	}
	found := readings(loc, wall)
	if stated != "" {
		want := offsetOf(stated)
		found = slices.DeleteFunc(found, func(t time.Time) bool {
			_, offset := t.Zone()
			return offset != want
		})
		if len(found) == 0 {
			return Wall{}, ErrTime.Detailf("%s is never %s in %s; leave the offset out.", wall.Format(people), stated, zone)
		}
	}
	switch len(found) {
	case 0:
		return Wall{}, gapError(loc, wall)
	case 1:
		return Wall{Zone: zone, Local: wall, At: found[0].UTC()}, nil
	default:
		return Wall{}, overlapError(zone, wall, found)
	}
}

const (
	people = "15:04 on 2 January 2006"
	// reach is how far a wall clock can be from UTC, with room: every instant
	// that could read as a wall time lies within it.
	reach = 26 * time.Hour
)

// readings lists the instants at which clocks of loc show wall, in order.
func readings(loc *time.Location, wall time.Time) []time.Time {
	var found []time.Time
	for _, period := range periods(loc, wall) {
		_, offset := period.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		// The reading counts if that offset was in force at that instant.
		if _, real := at.Zone(); real == offset && !slices.ContainsFunc(found, at.Equal) {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, time.Time.Compare)
	return found
}

// periods returns one instant of each stretch of constant offset near wall.
func periods(loc *time.Location, wall time.Time) []time.Time {
	var list []time.Time
	for at := wall.Add(-reach).In(loc); !at.After(wall.Add(reach)); {
		list = append(list, at)
		_, end := at.ZoneBounds()
		if end.IsZero() {
			break
		}
		if !end.After(at) {
			// Beyond a zone's table, on the last day of a leap year, Go gives the
			// same instant for ever. No stretch is shorter than this step.
			end = at.Add(15 * time.Minute)
		}
		at = end
	}
	return list
}

func gapError(loc *time.Location, wall time.Time) error {
	list := periods(loc, wall)
	for i := 1; i < len(list); i++ {
		_, before := list[i-1].Zone()
		_, after := list[i].Zone()
		change := list[i].UTC()
		from, to := change.Add(time.Duration(before)*time.Second), change.Add(time.Duration(after)*time.Second)
		if wall.Before(from) || !wall.Before(to) {
			continue
		}
		return ErrTimeGap.Detailf("%s does not exist in %s: clocks go straight from %s to %s. Choose an earlier or a later time.",
			wall.Format(people), loc, from.Format(people), to.Format(people))
	}
	return ErrTimeGap
}

func overlapError(zone string, wall time.Time, found []time.Time) error {
	var choices []string
	for _, at := range found {
		choices = append(choices, fmt.Sprintf("%s (%s, which is %s UTC)",
			wall.Format("2006-01-02T15:04")+at.Format("-07:00"), at.Format("MST"), at.UTC().Format("15:04")))
	}
	return ErrTimeOverlap.Detailf("%s comes %d times in %s, since clocks are set back. Say which one you mean: %s.",
		wall.Format(people), len(found), zone, strings.Join(choices, " or "))
}

// offsetOf reads an offset that wallText matched, in seconds.
func offsetOf(s string) int {
	if s == "Z" {
		return 0
	}
	seconds := (int(s[1]-'0')*10+int(s[2]-'0'))*3600 + (int(s[4]-'0')*10+int(s[5]-'0'))*60
	if s[0] == '-' {
		return -seconds
	}
	return seconds
}

// ErrTimesOrder says that an event would end before it starts.
var ErrTimesOrder = problem.Define(problem.Unprocessable, "event.times_order", "The event ends before it starts",
	"Choose an end that is later than the start.")
