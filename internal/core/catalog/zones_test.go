package catalog

import (
	"archive/zip"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// zones lists every zone of the database that the program embeds.
func zones(t *testing.T) []string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	require.NoError(t, err)
	defer func() { require.NoError(t, z.Close()) }()
	var names []string
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/") && f.Name != "Factory" {
			names = append(names, f.Name)
		}
	}
	require.Greater(t, len(names), 500)
	return names
}

const clockText = "2006-01-02T15:04:05"

// TestEveryChangeOfEveryZone walks all changes of all clocks: what they skip is
// refused, what they show twice is asked about, and the seconds around both are
// read as they are.
func TestEveryChangeOfEveryZone(t *testing.T) {
	t.Parallel()
	first, last := time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)
	gaps, overlaps := 0, 0
	for _, name := range zones(t) {
		loc, err := LoadZone(name)
		require.NoError(t, err, name)
		for at := first.In(loc); ; {
			_, change := at.ZoneBounds()
			if change.IsZero() || change.After(last) {
				break
			}
			if !change.After(at) { // the last day of a leap year beyond the zone's table
				at = at.Add(24 * time.Hour)
				continue
			}
			_, before := change.Add(-time.Second).Zone()
			_, after := change.Zone()
			old := change.UTC().Add(time.Duration(before) * time.Second) // what the old clock would show
			fresh := change.UTC().Add(time.Duration(after) * time.Second)
			switch {
			case fresh.After(old): // [old, fresh) is skipped
				gaps++
				for _, wall := range []time.Time{old, fresh.Add(-time.Second), old.Add(fresh.Sub(old) / 2)} {
					_, err := ParseWall(name, wall.Format(clockText))
					require.ErrorIs(t, err, ErrTimeGap, "%s %s", name, wall)
				}
				reads(t, name, old.Add(-time.Second), change.Add(-time.Second))
				reads(t, name, fresh, change)
			case old.After(fresh): // [fresh, old) comes twice
				overlaps++
				for _, wall := range []time.Time{fresh, old.Add(-time.Second)} {
					_, err := ParseWall(name, wall.Format(clockText))
					require.ErrorIs(t, err, ErrTimeOverlap, "%s %s", name, wall)
					for _, offset := range []int{before, after} {
						if offset%60 != 0 {
							continue // such offsets cannot be written
						}
						at := wall.Add(-time.Duration(offset) * time.Second)
						w, err := ParseWall(name, wall.Format(clockText)+at.In(loc).Format("-07:00"))
						require.NoError(t, err, "%s %s", name, wall)
						require.Equal(t, at, w.At)
					}
				}
				reads(t, name, old, change.Add(old.Sub(fresh)))
			}
			at = change
		}
	}
	t.Logf("%d gaps, %d overlaps", gaps, overlaps)
	require.Greater(t, gaps, 10_000)
	require.Greater(t, overlaps, 10_000)
}

// reads requires that a clock's reading names one instant, unless the zone has
// another change that makes it ambiguous as well.
func reads(t *testing.T, zone string, wall, at time.Time) {
	t.Helper()
	w, err := ParseWall(zone, wall.Format(clockText))
	if errors.Is(err, ErrTimeOverlap) {
		return
	}
	require.NoError(t, err, "%s %s", zone, wall)
	require.Equal(t, at.UTC(), w.At, "%s %s", zone, wall)
}

// TestLastDayOfALeapYear: beyond a zone's table Go's ZoneBounds stands still on
// that day, and whoever follows it never returns.
func TestLastDayOfALeapYear(t *testing.T) {
	t.Parallel()
	w, err := ParseWall("Europe/Paris", "2040-12-31T22:00")
	require.NoError(t, err)
	require.Equal(t, time.Date(2040, 12, 31, 21, 0, 0, 0, time.UTC), w.At)
}

// TestAnyInstantOfAnyZone: what a clock shows at an instant is read as that
// instant, or asked about; it is never read as another.
func TestAnyInstantOfAnyZone(t *testing.T) {
	t.Parallel()
	names := zones(t)
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom(names).Draw(r, "zone")
		loc, err := LoadZone(name)
		require.NoError(r, err)
		at := time.Unix(rapid.Int64Range(time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Draw(r, "at"), 0)
		shown := at.In(loc).Format(clockText)
		w, err := ParseWall(name, shown)
		if errors.Is(err, ErrTimeOverlap) {
			w, err = ParseWall(name, shown+at.In(loc).Format("-07:00"))
		}
		require.NoError(r, err)
		require.Equal(r, at.UTC(), w.At)
		require.Equal(r, shown, w.At.In(loc).Format(clockText), "shown again as it was entered")
	})
}
