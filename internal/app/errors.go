package app

import (
	"errors"
	"fmt"
	"strings"

	"imagecustomizer/internal/failure"
)

// usage collects mistakes of the command line, so that all are reported at once.
type usage []string

func (u *usage) add(format string, args ...any) { *u = append(*u, fmt.Sprintf(format, args...)) }

func (u *usage) check(err error) {
	if err != nil {
		*u = append(*u, err.Error())
	}
}

func (u usage) err() error {
	if len(u) == 0 {
		return nil
	}
	return &failure.Failure{Code: failure.Usage, Err: errors.New(strings.Join(u, "\n"))}
}
