package ui

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEventJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		event Event
		text  string
	}{
		{
			Event{Time: at, Kind: Start, Step: "hostname", Title: "set the host name"},
			`{"time":"2026-01-02T03:04:05Z","kind":"start","step":"hostname","title":"set the host name"}`,
		},
		{
			Event{Time: at, Kind: Progress, Step: "output", Done: 1 << 40, Total: 1 << 41},
			`{"time":"2026-01-02T03:04:05Z","kind":"progress","step":"output","done":1099511627776,"total":2199023255552}`,
		},
		{
			Event{Time: at, Kind: Done, Step: "hostname", Title: "t", Elapsed: 1500 * time.Millisecond},
			`{"time":"2026-01-02T03:04:05Z","kind":"done","step":"hostname","title":"t","elapsed":1.5}`,
		},
		{
			Event{Time: at, Kind: Fail, Step: "x", Text: "bad", Hint: "mend it"},
			`{"time":"2026-01-02T03:04:05Z","kind":"fail","step":"x","text":"bad","hint":"mend it"}`,
		},
		{
			Event{Time: at, Kind: Message, Level: "warn", Text: "odd", Attrs: map[string]any{"a": "b"}},
			`{"time":"2026-01-02T03:04:05Z","kind":"message","level":"warn","text":"odd","attrs":{"a":"b"}}`,
		},
	} {
		text, err := json.Marshal(c.event)
		if err != nil || string(text) != c.text {
			t.Errorf("%s, %v\nwant %s", text, err, c.text)
		}
		var back Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(c.event, back); d != "" {
			t.Errorf("read back (-want +got):\n%s", d)
		}
	}
	if err := json.Unmarshal([]byte(`{"done":"many"}`), &Event{}); err == nil {
		t.Error("a text for a number passes")
	}
}
