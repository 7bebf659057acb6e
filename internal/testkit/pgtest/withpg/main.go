// Command withpg runs a command with a PostgreSQL for tests:
//
//	go run ./internal/testkit/pgtest/withpg go test ./...
//
// The server lives in a temporary folder, without durability, and is gone with
// the command, whose exit code becomes this one's. Without a command it holds
// the server until it is interrupted and prints the line to set in another
// terminal; databases of failed tests can be looked into meanwhile. When
// PROOFROOM_TEST_DATABASE_URL is set already, it just runs the command.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"proofroom/internal/testkit/pgtest"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) (code int) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if os.Getenv(pgtest.URLEnv) == "" {
		server, err := pgtest.Serve(context.Background())
		if err != nil {
			return fail(err)
		}
		defer func() {
			if err := server.Close(); err != nil {
				code = fail(err)
			}
		}()
		if err := os.Setenv(pgtest.URLEnv, server.URL); err != nil {
			return fail(err)
		}
	}
	if len(args) == 0 {
		fmt.Printf("export %s='%s'\n", pgtest.URLEnv, os.Getenv(pgtest.URLEnv))
		<-signals
		return 0
	}

	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended by itself
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return fail(err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "withpg:", err)
	return 1
}
