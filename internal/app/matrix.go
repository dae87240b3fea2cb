package app

import (
	"fmt"
	"io"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/ui"
)

// loadAll reads and validates a config, or, where it has a matrix, that of each entry that is selected. Warnings are shown;
// errors are the returned failure.
func loadAll(file string, files *compose.Files, o compose.Options, screen *ui.UI) (*compose.Matrix, []*compose.Result, error) {
	m, results, report, err := compose.LoadAll(file, files, o)
	if err != nil {
		return nil, nil, &failure.Failure{Code: failure.Config, Err: err}
	}
	return m, results, reported(report, screen)
}

// reported shows what is in a report; errors are the returned failure.
func reported(report *config.Report, screen *ui.UI) error {
	ui.Redact(report.Secrets()...)
	if len(report.Problems()) > 0 {
		screen.Problems(report.Render)
	}
	if err := report.Err(); err != nil {
		return &failure.Failure{Shown: true, Code: failure.Config, Err: err}
	}
	return nil
}

// loadOne is loadAll for what works on one config: of a matrix one entry must be selected.
func loadOne(file string, files *compose.Files, o compose.Options, screen *ui.UI) (*compose.Result, error) {
	m, results, err := loadAll(file, files, o, screen)
	if err != nil {
		return nil, err
	}
	if m != nil && len(m.Entries) > 1 {
		return nil, &failure.Failure{
			Code: failure.Usage, Err: fmt.Errorf("%s has a matrix, and %d of its entries are selected, such as %s: select one with --matrix-select", file, len(m.Entries), m.Entries[0].Label(m.Names)),
			Hint: fmt.Sprintf("imagecustomizer customize --config-file %s --list shows all entries", file),
		}
	}
	return results[0], nil
}

// ListMatrix prints the entries of a config's matrix that are selected.
func ListMatrix(file string, o compose.Options, screen *ui.UI, stdout io.Writer) error {
	m, _, err := loadAll(file, &compose.Files{}, o, screen)
	if err != nil {
		return err
	}
	if m == nil {
		return &failure.Failure{Code: failure.Usage, Err: fmt.Errorf("%s has no matrix whose entries could be listed", file)}
	}
	for _, e := range m.Entries {
		if _, err := fmt.Fprintln(stdout, e.Label(m.Names)); err != nil {
			return err
		}
	}
	return nil
}
