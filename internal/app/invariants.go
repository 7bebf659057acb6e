package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"proofroom/internal/proof/verify"
)

type invariantsCmd struct {
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"The database. Without it, the private PostgreSQL that a running serve has in the data folder."`
	DataDir     string `name:"data-dir" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"The data folder, as for serve."`
	JSON        bool   `name:"json" help:"Print one JSON object."`
}

// Run examines the database while it works and fails on a violation.
func (c *invariantsCmd) Run(s *streams) error {
	pool, err := openRunning(s.ctx, c.DatabaseURL, c.DataDir, "proofroom invariants")
	if err != nil {
		return err
	}
	defer pool.Close()
	found, err := verify.CheckInvariants(s.ctx, pool)
	if err != nil {
		return err
	}
	ok := true
	for _, r := range found {
		ok = ok && r.Violations == 0
	}
	if c.JSON {
		err = json.NewEncoder(s.out).Encode(struct {
			OK         bool                     `json:"ok"`
			Invariants []verify.InvariantResult `json:"invariants"`
		}{ok, found})
	} else {
		err = printInvariants(s, found)
	}
	if err == nil && !ok {
		err = fmt.Errorf("an invariant is violated: what is listed above needs a person to look at it")
	}
	return err
}

func printInvariants(s *streams, found []verify.InvariantResult) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for i, r := range found {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%d examined\t%s\n", r.ID, r.Verdict, r.Rows, verify.Invariants[i].Says); err != nil {
			return err
		}
		if r.Violations > 0 {
			if _, err := fmt.Fprintf(w, "\t%d violations\t\t%s\n", r.Violations, strings.Join(r.IDs, "; ")); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}
