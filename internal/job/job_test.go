package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/ui"
)

// local runs the worker's end in this process.
type local struct {
	io.Reader
	job    *io.PipeWriter
	ended  chan struct{}
	worker func(in io.Reader, out io.Writer)
}

func (l *local) Start(*Job) (Link, error) {
	in, job := io.Pipe()
	messages, out := io.Pipe()
	l.Reader, l.job, l.ended = messages, job, make(chan struct{})
	go func() {
		l.worker(in, out)
		out.Close()
		in.Close()
		close(l.ended)
	}()
	return l, nil
}

func (l *local) Write(p []byte) (int, error) { return l.job.Write(p) }
func (l *local) Close() error                { return l.job.Close() }
func (l *local) Cancel()                     { l.job.Close() }
func (l *local) Kill() {
	killed := errors.New("killed")
	l.job.CloseWithError(killed)
	l.Reader.(*io.PipeReader).CloseWithError(killed)
}
func (l *local) Wait() error { <-l.ended; return nil }

// serve is a transport whose worker does its jobs with do.
func serve(do func(context.Context, *Job, *Sender, *Result) error) *local {
	return &local{worker: func(in io.Reader, out io.Writer) { Serve(in, out, do) }}
}

// fill sets every field to something at random, or leaves it empty.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	if r.IntN(4) == 0 && depth > 1 || depth > 2 && v.Type() == reflect.TypeFor[[]*step.Config]() { // a layer has none
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<31), r.Int64N(1e9)).UTC()))
		return
	case diskformat.Format:
		v.Set(reflect.ValueOf(diskformat.Formats()[r.IntN(len(diskformat.Formats()))]))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Tag.Get("json") != "-" {
				fill(r, v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(r, key, depth+1)
		fill(r, value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString([]string{"", "a", "ä\n\"<&>\\ \u2028 \x00", strings.Repeat("x", 300)}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() - r.Int64())
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(r.Uint64N(256))
	default:
		panic("the test cannot fill a " + v.Type().String())
	}
}

// TestJobArrivesAsItIs sends jobs with everything in them that a config can say.
func TestJobArrivesAsItIs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	same := cmp.Options{
		cmpopts.IgnoreUnexported(Resource{}), cmp.Comparer(func(a, b diskformat.Format) bool { return a.Name == b.Name }),
	}
	for range 50 {
		var sent Job
		fill(r, reflect.ValueOf(&sent).Elem(), 0)
		var got *Job
		if _, err := Run(t.Context(), serve(func(_ context.Context, j *Job, _ *Sender, _ *Result) error {
			got = j
			return nil
		}), &sent, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&sent, got, same); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestConfigIsPlainData has nothing in a config that JSON would leave out.
func TestConfigIsPlainData(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var look func(path string, v reflect.Type)
	look = func(path string, v reflect.Type) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			look(path, v.Elem())
		case reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is a %s", path, v)
		case reflect.Struct:
			if seen[v] {
				return
			}
			seen[v] = true
			for i := range v.NumField() {
				f := v.Field(i)
				if !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
					t.Errorf("%s.%s does not cross", path, f.Name)
				}
				look(path+"."+f.Name, f.Type)
			}
		}
	}
	look("config", step.Root)
}

func TestFailuresCross(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want failure.Failure
		text string
	}{
		"a hint and a code": {&failure.Failure{Code: failure.Host, Step: "open", Hint: "do this", Err: errors.New("no loop device")},
			failure.Failure{Code: failure.Host, Step: "open", Hint: "do this"}, "no loop device"},
		"any error":       {errors.New("x"), failure.Failure{Code: failure.Failed}, "x"},
		"joined":          {fmt.Errorf("close: %w", errors.Join(errors.New("a"), errors.New("b"))), failure.Failure{Code: failure.Failed}, "close: a\nb"},
		"what is refused": {errors.Join(&plan.Unmet{Problems: []plan.Problem{{Path: "os.users[1]", Text: "no"}}}, errors.New("b")), failure.Failure{Code: failure.Config}, "no\nb"},
	} {
		res, err := Run(t.Context(), serve(func(context.Context, *Job, *Sender, *Result) error { return c.err }), &Job{}, nil)
		got := failure.Of(err)
		if got.Error() != c.text || got.Code != c.want.Code || got.Step != c.want.Step || got.Hint != c.want.Hint {
			t.Errorf("%s: %+v", name, got)
		}
		if refused := got.Code == failure.Config; refused != (len(res.Problems) == 1 && res.Problems[0].Path == "os.users[1]") {
			t.Errorf("%s: problems %v", name, res.Problems)
		}
	}
}

func TestResultAndEventsCross(t *testing.T) {
	t.Parallel()
	want := Result{Plan: []Line{{"input", "a", "b"}}, Unwritten: []string{"/o2.raw"}, Facts: &compose.Facts{Arch: "x"}, Host: &Abilities{Loop: "none"}}
	var events []ui.Event
	got, err := Run(t.Context(), serve(func(_ context.Context, _ *Job, s *Sender, r *Result) error {
		s.Event(ui.Event{Kind: ui.Done, Step: "x", Elapsed: 1500 * time.Millisecond})
		slog.New(s).With("a", 1).Debug("said", "error", errors.New("e"))
		*r = want
		return nil
	}), hostile(), func(e ui.Event) { events = append(events, e) })
	if err != nil || cmp.Diff(&want, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(&want, got))
	}
	if len(events) != 1 || events[0].Step != "x" || events[0].Elapsed != 1500*time.Millisecond {
		t.Errorf("%+v", events)
	}
}

func TestEndOfTheSupervisorCancels(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	go func() {
		<-began
		cancel()
	}()
	_, err := Run(ctx, serve(func(ctx context.Context, _ *Job, _ *Sender, _ *Result) error {
		close(began)
		<-ctx.Done()
		return &failure.Failure{Step: "s", Err: fmt.Errorf("apt-get: %w", context.Cause(ctx))}
	}), &Job{}, nil)
	if f := failure.Of(err); f == nil || f.Code != failure.Interrupted || f.Step != "s" || f.Error() != "apt-get: interrupted" {
		t.Errorf("%+v", f)
	}
}

func TestWorkerThatSaysNothing(t *testing.T) {
	t.Parallel()
	silent := &local{worker: func(in io.Reader, _ io.Writer) { _ = json.NewDecoder(in).Decode(&Job{}) }}
	if _, err := Run(t.Context(), silent, &Job{}, nil); failure.Of(err).Code != failure.Failed || !strings.Contains(err.Error(), "without a result") {
		t.Error(err)
	}
	var out strings.Builder
	Serve(strings.NewReader(`{"Kind": 7}`), &out, nil)
	if !strings.Contains(out.String(), "cannot read its job") {
		t.Errorf("a job of another version: %s", out.String())
	}
	out.Reset()
	if Serve(strings.NewReader(""), &out, nil); out.Len() > 0 {
		t.Errorf("no job: %s", out.String())
	}
}

func TestResourcesHaveNames(t *testing.T) {
	t.Parallel()
	j := &Job{}
	j.Show(Read, "/a", "")
	names := []string{j.Hand(Disk, nil, "raw"), j.Hand(Written, nil, "qcow2"), j.Hand(Written, nil, "vhdx")}
	if diff := cmp.Diff([]string{"disk", "written", "written 2"}, names); diff != "" {
		t.Error(diff)
	}
	for i, n := range names {
		if r := j.resource(n); r.File != i {
			t.Errorf("%s is file %d, want %d", n, r.File, i)
		}
	}
	if len(j.Resources) != 4 || !j.Has(Disk) || j.Has(Changes) {
		t.Errorf("%+v", j.Resources)
	}
}
