package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"proofroom/internal/proof/bench/ingest"
)

type benchIngestCmd struct {
	Photos int    `name:"photos" default:"500" placeholder:"N" help:"Photographs of 12 to 24 megapixels in each round (${default})."`
	Rounds int    `name:"rounds" default:"2" placeholder:"N" help:"How often each side is measured, in turns (${default})."`
	Cache  string `name:"cache" placeholder:"DIR" help:"Where the photographs are kept from one time to the next. Default: a folder among the temporary files."`
	JSON   bool   `name:"json" help:"End with the report as one line of JSON."`
}

// Run measures on this machine, in scratch folders that it makes and deletes,
// save that of the photographs. It fails unless the figures count.
func (c *benchIngestCmd) Run(s *streams) error {
	if c.Photos < 1 || c.Rounds < 1 {
		return errors.New("measure at least one photograph and one round")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	if c.Cache == "" {
		c.Cache = ingest.Cache()
	}
	report, err := ingest.Run(s.ctx, ingest.Config{
		Binary: self, Darkroom: filepath.Join(filepath.Dir(self), "darkroom"), Photos: c.Photos, Sizes: ingest.Cameras, Rounds: c.Rounds,
		Cache: c.Cache, Progress: s.err,
	})
	if report == nil {
		return err
	}
	return reported(s, c.JSON, report, err)
}
