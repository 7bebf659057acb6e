package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"proofroom/internal/base/id"
	"proofroom/internal/core/account"
)

// Person is a sample account.
type Person struct {
	Role     account.Role `json:"role"`
	Email    string       `json:"email"`
	Password string       `json:"password"`
	Token    string       `json:"token"` // of the API
}

// people are the sample accounts. Their secrets are random, and kept in the data
// folder so that they stay the same.
type people []Person

func (p people) of(role account.Role) Person {
	for _, one := range p {
		if one.Role == role {
			return one
		}
	}
	return Person{}
}

// loadPeople reads the sample accounts of a folder, or invents them and writes
// them down before anything can know them.
func loadPeople(dir string) (people, error) {
	file := filepath.Join(dir, "demo.json")
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		var p people
		for _, role := range []account.Role{account.Operator, account.Creator, account.Attendee} {
			p = append(p, Person{Role: role, Email: string(role) + "@example.com", Password: id.Short(12)})
		}
		return p, p.save(dir)
	}
	if err != nil {
		return nil, err
	}
	var p people
	if err := json.Unmarshal(raw, &p); err != nil || len(p) == 0 {
		return nil, fmt.Errorf("%s cannot be read (%w): choose another --data-dir, or delete this one to begin anew", file, err)
	}
	return p, nil
}

func (p people) save(dir string) error {
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "demo.json")
	if err := os.WriteFile(file+".new", append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// settle makes sure that the accounts exist and that their tokens work.
func (p people) settle(ctx context.Context, s *Stack) error {
	accounts, shop := account.New(s.pool), newAPI(s.URL, 1)
	made := false
	for i := range p {
		if p[i].Token != "" {
			a, err := shop.do(ctx, http.MethodGet, "/api/v1/me", call{token: p[i].Token})
			if err != nil {
				return err
			}
			if a.status == http.StatusOK {
				continue
			}
		}
		token, _, err := accounts.Provision(ctx, p[i].Email, p[i].Password, "demo", []account.Role{p[i].Role})
		if err != nil {
			return err
		}
		p[i].Token, made = token, true
	}
	if !made {
		return nil
	}
	return p.save(s.Dir)
}
