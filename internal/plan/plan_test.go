package plan

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// fake is a step with problems, which may bring what later ones need.
type fake struct {
	name     string
	problems []Problem
	brings   bool
}

func (f fake) Name() string                                      { return f.name }
func (f fake) String() string                                    { return "do " + f.name }
func (f fake) Run(context.Context, *machine.Machine) error       { return nil }
func (f fake) Brings() bool                                      { return f.brings }
func (f fake) Check(context.Context, *machine.Machine) []Problem { return f.problems }

func TestWhatPackagesBringIsNotMissing(t *testing.T) {
	t.Parallel()
	root, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := machine.NewFake(&machine.Facts{}, root).Machine
	missing, wrong := Problem{Text: "missing", Later: true}, Problem{Text: "wrong"}
	both := []Problem{missing, wrong, wrong}
	for name, c := range map[string]struct {
		plan Plan
		want string
	}{
		"nothing brings":     {Plan{fake{"a", both, false}, fake{"b", both, false}}, "a missing, a wrong, b missing, b wrong"},
		"brought before":     {Plan{fake{"p", nil, true}, fake{"a", both, false}}, "a wrong"},
		"brought after":      {Plan{fake{"a", both, false}, fake{"p", nil, true}}, "a missing, a wrong"},
		"by the step itself": {Plan{fake{"p", both, true}}, "p missing, p wrong"},
	} {
		var got []string
		for _, p := range c.plan.Preflight(t.Context(), m) {
			got = append(got, p.Step+" "+p.Text)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

func TestLanesAreShownAsTheirSteps(t *testing.T) {
	t.Parallel()
	var got []string
	p := Plan{fake{name: "a"}, Lanes{{Task(Output, "b", "do b", nil), Lanes{{fake{name: "c"}}}}, {fake{name: "d"}}}, Task(Check, "e", "do e", nil)}
	for _, s := range p.Steps() {
		got = append(got, fmt.Sprint(s.Name(), ":", StageOf(s)))
	}
	if s := strings.Join(got, " "); s != "a:system b:output c:system d:system e:check" {
		t.Error(s)
	}
}

func TestUnmetListsProblemsWithHints(t *testing.T) {
	t.Parallel()
	if got := (&Unmet{[]Problem{{Text: "a"}, {Text: "b", Hint: "do c"}}}).Error(); got != "a\nb (do c)" {
		t.Errorf("%q", got)
	}
}
