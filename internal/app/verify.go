package app

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"text/tabwriter"

	"proofroom/internal/proof/verify"
	"proofroom/internal/proof/verify/scenarios"
)

type verifyCmd struct {
	IDs       []string `arg:"" optional:"" name:"run ID" help:"Scenarios to run, as in: verify run W01. Default: all."`
	List      bool     `name:"list" help:"Name the scenarios and end."`
	Seed      uint64   `name:"seed" placeholder:"N" help:"Repeat a run's choices. Default: a random one, which is printed."`
	Instances int      `name:"instances" default:"2" help:"Processes of the server in each world, 2 to 8."`
	Quick     bool     `name:"quick" help:"Repeat less, and take the required guards away: everything in under three minutes."`
	Ablate    bool     `name:"ablate" help:"Take every set of guards away, whole and one by one: something must go red."`
	JSON      bool     `name:"json" help:"End with the report as one line of JSON."`
}

// Run proves the promises on this machine, in scratch folders that it makes and
// deletes. It fails unless every verdict is PASS and every control experiment
// went red.
func (c *verifyCmd) Run(s *streams) error {
	if len(c.IDs) > 0 && strings.EqualFold(c.IDs[0], "run") {
		if c.IDs = c.IDs[1:]; len(c.IDs) == 0 {
			return fmt.Errorf("verify run needs a scenario: verify --list names them")
		}
	}
	if c.List {
		return listScenarios(s)
	}
	if c.Instances < 2 || c.Instances > 8 {
		return fmt.Errorf("--instances %d: a race needs at least 2 processes, and 8 are enough", c.Instances)
	}
	if c.Seed == 0 {
		c.Seed = uint64(rand.Uint32())
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own folder: %w", err)
	}
	binaries, err := verify.FindBinaries(self)
	if err != nil {
		return err
	}
	report, err := verify.Run(s.ctx, verify.Options{
		Binaries: binaries, IDs: c.IDs, Seed: c.Seed, Instances: c.Instances, Quick: c.Quick, Ablate: c.Ablate, Progress: s.err,
	}, scenarios.All, scenarios.CutSets)
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.WriteJSON(s.out)
	} else {
		err = report.WriteTable(s.out)
	}
	if err == nil && !report.OK {
		err = ErrReported
	}
	return err
}

func listScenarios(s *streams) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, sc := range scenarios.All {
		var sets []string
		for _, c := range scenarios.CutSets {
			for _, by := range c.By {
				if by == sc.ID {
					sets = append(sets, c.Name)
				}
			}
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s build\t%s\trows %s\tguards: %s\n", sc.ID, sc.Severity, sc.Build, sc.Title,
			strings.Join(sc.Rows, " "), strings.Join(sets, "; ")); err != nil {
			return err
		}
	}
	return w.Flush()
}
