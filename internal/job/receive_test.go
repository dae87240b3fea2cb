package job

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/ui"
)

// hostile is a job of which workers lie.
func hostile() *Job {
	return &Job{Kind: Customize, Outputs: []*Output{{Resource: "written", Path: "/o.raw"}, {Resource: "written 2", Path: "/o2.raw", Split: "raw", Partition: 2}}}
}

// TestWorkersThatLie: whatever a worker says, the run fails, and in a known way.
func TestWorkersThatLie(t *testing.T) {
	t.Parallel()
	event := `{"event":{"kind":"progress","time":"2026-01-01T00:00:00Z"}}` + "\n"
	for name, c := range map[string]struct {
		lines string
		job   *Job
		want  string
	}{
		"nothing":                     {"", nil, "without a result"},
		"null":                        {"null\n", nil, "an empty message"},
		"nulls":                       {`{"event":null,"log":null,"result":null}` + "\n", nil, "an empty message"},
		"noise":                       {strings.Repeat("\xff\x00", 1000), nil, "without a result"},
		"no JSON":                     {"x\n", nil, "without a result"},
		"other types":                 {`{"event":7}` + "\n", nil, "what no worker says"},
		"an unknown event":            {`{"event":{"kind":"reboot","time":"2026-01-01T00:00:00Z"}}` + "\n", nil, "an event of the kind"},
		"a message without end":       {`{"log":{"text":"` + strings.Repeat("x", maxMessage), nil, "a message of more than 16 MiB"},
		"two results":                 {"{\"result\":{}}\n{\"result\":{}}\n", nil, "a message after the result"},
		"an event behind the result":  {"{\"result\":{}}\n" + event, nil, "a message after the result"},
		"problems without a failure":  {`{"result":{"problems":[{"Text":"x"}]}}` + "\n", nil, "problems, but no failure"},
		"no causes":                   {`{"result":{"failure":{}}}` + "\n", nil, "did not say why"},
		"causes that are none":        {`{"result":{"failure":{"code":1,"causes":[null,null]}}}` + "\n", nil, "did not say why"},
		"a failure that is a success": {`{"result":{"failure":{"code":0,"shown":true,"causes":[{"text":"x"}]}}}` + "\n", nil, "x"},
		"the status of a comparison":  {`{"result":{"failure":{"code":5,"causes":[{"text":"x"}]}}}` + "\n", nil, "x"},
		"a status from elsewhere":     {`{"result":{"failure":{"code":256,"causes":[{"text":"x"}]}}}` + "\n", nil, "x"},
		"an unwritten disk":           {`{"result":{"unwritten":["/o.raw"]}}` + "\n", nil, "was not written"},
		"an unwritten unknown":        {`{"result":{"unwritten":["disk"]}}` + "\n", nil, "was not written"},
		"unwritten twice":             {`{"result":{"unwritten":["/o2.raw","/o2.raw"]}}` + "\n", nil, "was not written"},
		"nothing of the host":         {"{\"result\":{}}\n", &Job{Kind: Examine}, "nothing of the host"},
		"questions without end":       {strings.Repeat(`{"ask":{"ID":1,"Kind":"bootloader","Path":"x"}}`+"\n", maxAsked+1), nil, "questions for signatures"},
		"nested without end":          {`{"log":{"attrs":` + strings.Repeat(`{"a":`, 200000) + "\n", nil, "without a result"},
	} {
		j := c.job
		if j == nil {
			j = hostile()
		}
		res, err := Run(t.Context(), speaker(c.lines), j, nil)
		f := failure.Of(err)
		if f == nil || !strings.Contains(f.Error(), c.want) || f.Shown || f.Code != failure.Failed {
			t.Errorf("%s: %+v, want %q", name, f, c.want)
		}
		if res != nil && res.Failure == nil {
			t.Errorf("%s: a result without a failure", name)
		}
	}
	if res, err := Run(t.Context(), speaker(event+`{"result":{"unwritten":["/o2.raw"]}}`+"\n"), hostile(), nil); err != nil || len(res.Unwritten) != 1 {
		t.Errorf("a partition that is not there: %v", err)
	}
}

// speaker is a worker that reads its job and says what it likes.
func speaker(lines string) *local {
	return &local{worker: func(in io.Reader, out io.Writer) {
		go func() { _, _ = io.Copy(io.Discard, in) }()
		_, _ = io.WriteString(out, lines)
	}}
}

// TestWorkerThatTalksWithoutEnd: memory is bounded, and the run goes on.
func TestWorkerThatTalksWithoutEnd(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	event, _ := json.Marshal(Message{Event: &ui.Event{Kind: ui.Progress, Step: text}})
	record, _ := json.Marshal(Message{Log: &Record{Level: -8, Text: text}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	longest := 0
	res, err := Run(t.Context(), &local{worker: func(in io.Reader, out io.Writer) {
		go func() { _, _ = io.Copy(io.Discard, in) }()
		for i := range 300 {
			if i < 20 {
				_, _ = out.Write(append(event, '\n'))
			}
			_, _ = out.Write(append(record, '\n'))
		}
		_, _ = io.WriteString(out, "{\"result\":{}}\n")
	}}, hostile(), func(e ui.Event) { longest = max(longest, len(e.Step)) })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || res == nil || longest != maxText {
		t.Errorf("%v, an event of %d bytes", err, longest)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("%d MiB are kept", grown>>20)
	}
}

// TestOutputsMustBeWritten: an empty output, or one of another format, is not published.
func TestOutputsMustBeWritten(t *testing.T) {
	t.Parallel()
	qcow2, _ := diskformat.Parse("qcow2")
	for text, want := range map[string]string{"": "nothing was written into", "raw": "is not qcow2", "QFI\xfb": ""} {
		o := &Output{Format: qcow2, Path: filepath.Join(t.TempDir(), "o.qcow2"), Resource: "written"}
		if err := o.Create(); err != nil {
			t.Fatal(err)
		}
		defer o.Pending.Discard()
		if _, err := o.Pending.File().WriteString(text); err != nil {
			t.Fatal(err)
		}
		err := (&Job{Outputs: []*Output{o}}).CheckWritten(&Result{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSaidIsBounded(t *testing.T) {
	t.Parallel()
	var b firstBytes
	for range 10 {
		if n, err := b.Write(make([]byte, maxSaid/3)); n != maxSaid/3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(b.String()) != maxSaid {
		t.Errorf("%d bytes", len(b.String()))
	}
}

// FuzzReceive: no message makes a panic, or a success that lacks something.
func FuzzReceive(f *testing.F) {
	for _, m := range []Message{
		{Event: &ui.Event{Kind: ui.Done, Step: "x", Elapsed: time.Second, Attrs: map[string]any{"a": []any{1, nil}}}},
		{Log: &Record{Text: "x", Attrs: map[string]any{"a": map[string]any{"b": 1e300}}}},
		{Result: &Result{Failure: &failure.Failure{Code: 3, Hint: "h", Err: errors.New("x")}, Problems: []plan.Problem{{Path: "os.users[1]", Text: "x"}}}},
		{Result: &Result{Unwritten: []string{"/o2.raw"}, Plan: []Line{{"input", "a", "b"}}, Host: &Abilities{}}},
	} {
		text, _ := json.Marshal(m)
		f.Add(append(text, '\n'))
		f.Add(append(append(text, '\n'), text...))
	}
	f.Add([]byte(`{"result":{"failure":{"causes":[null]}}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := hostile()
		res, err := (&receiver{job: j, report: func(e ui.Event) { _, _ = json.Marshal(e) }}).receive(strings.NewReader(string(data)))
		switch {
		case err != nil && (res != nil || !errors.Is(err, errRule)):
			t.Errorf("%v, %+v", res, err)
		case res == nil:
		case res.Failure == nil && (len(res.Problems) > 0 || len(res.Unwritten) > 1):
			t.Errorf("%+v", res)
		case res.Failure != nil && (failure.Of(res.Failure).Code == failure.OK || res.Failure.Error() == "" && res.Failure.Err == nil || res.Failure.Shown):
			t.Errorf("%+v", res.Failure)
		}
	})
}
