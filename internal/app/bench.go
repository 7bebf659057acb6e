package app

import (
	"errors"
	"io"
)

// benchCmd has one command for each thing that is measured.
type benchCmd struct {
	Fulfil   benchFulfilCmd   `cmd:"" help:"Webhooks to fulfilled orders: how many a second, against one statement of SQL an order."`
	Checkout benchCheckoutCmd `cmd:"" help:"Selections to orders with a page to pay them on: how many a second, against a bare loop of the same SQL and the same call."`
	Ingest   benchIngestCmd   `cmd:"" help:"Uploads to photographs that are ready: how many a second and core, against vipsthumbnail."`

	Generator benchGeneratorCmd `cmd:"" hidden:""`
	StandIn   benchStandInCmd   `cmd:"" hidden:""`

	StripePages benchStripePagesCmd `cmd:"" hidden:""`
}

// benchReport is the result of a measurement.
type benchReport interface {
	WriteJSON(w io.Writer) error
	WriteTable(w io.Writer) error
}

// reported writes a report, and says why it does not count if it does not.
func reported(s *streams, asJSON bool, r benchReport, cause error) error {
	write := r.WriteTable
	if asJSON {
		write = r.WriteJSON
	}
	return errors.Join(cause, write(s.out))
}
