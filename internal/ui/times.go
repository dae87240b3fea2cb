package ui

import (
	"encoding/json"
	"fmt"
	"os"
)

// openTimes opens the file that tells when steps began and ended.
func (u *UI) openTimes(name string) (err error) {
	if name == "" {
		return nil
	}
	if u.times, err = os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, logMode); err != nil {
		u.times = nil
		return fmt.Errorf("cannot write the file of times: %w", err)
	}
	return nil
}

// time writes an event to it if a step begins or ends there. A line is written whole, and at once: what is there is
// right wherever the run stops.
func (u *UI) time(e Event) {
	if u.times == nil || e.Kind == Progress {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, _ = u.times.Write(append(line, '\n'))
}
