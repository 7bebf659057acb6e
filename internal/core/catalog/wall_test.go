package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/problem"
)

func TestWallTimesNameOneInstant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, local, utc string }{
		{"Europe/Paris", "2026-07-14T20:00", "2026-07-14T18:00:00Z"},
		{"Europe/Paris", "2026-01-14 20:00:30", "2026-01-14T19:00:30Z"},
		{"Africa/Accra", "2026-05-30T18:30", "2026-05-30T18:30:00Z"},
		{"Asia/Kathmandu", "2026-05-30T18:30", "2026-05-30T12:45:00Z"},
		{"America/New_York", "2026-03-08T01:59", "2026-03-08T06:59:00Z"},
		{"America/New_York", "2026-03-08T03:00", "2026-03-08T07:00:00Z"},
		{"Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00:00Z"}, // the day after the one that never was
		{"Pacific/Kiritimati", "2026-01-01T00:00", "2025-12-31T10:00:00Z"},
		{"Etc/GMT+12", "2026-01-01T00:00", "2026-01-01T12:00:00Z"},
		{"UTC", "2026-01-01T00:00Z", "2026-01-01T00:00:00Z"},
		{"Europe/Berlin", "2026-10-25T02:30+02:00", "2026-10-25T00:30:00Z"},
		{"Europe/Berlin", "2026-10-25T02:30+01:00", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00:00Z"},
		{"America/Argentina/Buenos_Aires", "2026-01-01T12:00-03:00", "2026-01-01T15:00:00Z"},
		{"Australia/Lord_Howe", "2026-04-05T01:45+10:30", "2026-04-04T15:15:00Z"}, // set back by half an hour
	} {
		w, err := ParseWall(c.zone, c.local)
		require.NoError(t, err, "%s %s", c.zone, c.local)
		require.Equal(t, c.utc, w.At.Format(time.RFC3339), "%s %s", c.zone, c.local)
		require.Equal(t, c.zone, w.Zone)
		loc, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		require.Equal(t, w.At.In(loc).Format(time.DateTime), w.Local.Format(time.DateTime))
	}
}

func TestWallTimesThatDoNotExist(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, local, says string }{
		{"America/New_York", "2026-03-08T02:00", "clocks go straight from 02:00 on 8 March 2026 to 03:00 on 8 March 2026"},
		{"Europe/Berlin", "2026-03-29T02:59:59", "clocks go straight from 02:00 on 29 March 2026 to 03:00 on 29 March 2026"},
		{"Pacific/Apia", "2011-12-30T12:00", "clocks go straight from 00:00 on 30 December 2011 to 00:00 on 31 December 2011"},
	} {
		_, err := ParseWall(c.zone, c.local)
		require.ErrorIs(t, err, ErrTimeGap, "%s %s", c.zone, c.local)
		require.Contains(t, problem.As(err).Detail, c.says)
	}
	// Stating an offset does not make a skipped time exist.
	_, err := ParseWall("Europe/Berlin", "2026-03-29T02:30+01:00")
	require.ErrorIs(t, err, ErrTime)
}

func TestWallTimesThatComeTwice(t *testing.T) {
	t.Parallel()
	_, err := ParseWall("America/New_York", "2026-11-01T01:30")
	require.ErrorIs(t, err, ErrTimeOverlap)
	detail := problem.As(err).Detail
	require.Contains(t, detail, "2026-11-01T01:30-04:00 (EDT, which is 05:30 UTC)")
	require.Contains(t, detail, "2026-11-01T01:30-05:00 (EST, which is 06:30 UTC)")
	// An offset that is never in force there is no answer.
	_, err = ParseWall("America/New_York", "2026-11-01T01:30-06:00")
	require.ErrorIs(t, err, ErrTime)
	_, err = ParseWall("Europe/Paris", "2026-07-14T20:00+01:00")
	require.ErrorIs(t, err, ErrTime)
}

func TestZonesAndTimesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{
		"", "Local", "local", "Europe/Atlantis", "europe/paris", "CET ", "posix/Europe/Paris", "right/Europe/Paris",
		"localtime", "Factory", "../../etc/passwd", "/etc/localtime", "Europe/Paris\x00", "+02:00", "GMT+2", "A/B/C/D",
	} {
		_, err := ParseWall(zone, "2026-07-14T20:00")
		require.ErrorIs(t, err, ErrZone, "%q", zone)
	}
	for _, local := range []string{
		"", "now", "2026-07-14", "20:00", "2026-02-30T12:00", "2026-13-01T12:00", "2026-07-14T24:00", "2026-07-14T20:60",
		"0000-01-01T00:00", "1969-12-31T23:59", "2201-01-01T00:00", "2026-07-14T20:00+2", "2026-07-14T20:00 CEST",
		"2026-07-14T20:00\n", "٢026-07-14T20:00",
	} {
		_, err := ParseWall("Europe/Paris", local)
		require.ErrorIs(t, err, ErrTime, "%q", local)
	}
}

// Every instant reads back from its own wall time once its offset is stated,
// and without the offset wherever the reading is the only one.
func TestWallTimesReadBack(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Pyongyang"}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		// From 2000 to 2040.
		at := time.Unix(rapid.Int64Range(946684800, 2208988800).Draw(t, "at"), 0).UTC()
		loc, err := LoadZone(zone)
		if err != nil {
			t.Fatal(err)
		}
		w, err := ParseWall(zone, at.In(loc).Format("2006-01-02T15:04:05-07:00"))
		if err != nil || !w.At.Equal(at) {
			t.Fatalf("%s in %s reads back as %s, %v", at, zone, w.At, err)
		}
		if w, err := ParseWall(zone, at.In(loc).Format("2006-01-02T15:04:05")); err == nil && !w.At.Equal(at) {
			t.Fatalf("%s in %s was guessed to be %s", at, zone, w.At)
		}
	})
}
