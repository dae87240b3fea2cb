package step

import (
	"context"
	"errors"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// want is a step that needs a file and, as a bringer, makes one.
type want struct {
	needs, makes string
	later        bool
	ran          *[]string
}

func (w want) Name() string   { return "want" }
func (w want) String() string { return "want " + w.needs }
func (w want) Brings() bool   { return w.makes != "" }

func (w want) Run(_ context.Context, m *machine.Machine) error {
	*w.ran = append(*w.ran, w.needs)
	if w.makes == "" {
		return nil
	}
	return m.Root.WriteFile(w.makes, nil, 0o644)
}

func (w want) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if m.Root.Exists(w.needs) {
		return nil
	}
	return []plan.Problem{{Text: "there is no " + w.needs, Later: w.later}}
}

// TestWhatIsMissingIsReportedAtOnce holds that what packages may bring is asked for behind them, all of it
// before the first step that needs it, and everything else when planning.
func TestWhatIsMissingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"etc/old": ""})
	var ran []string
	steps := func(bring string) plan.Plan {
		return plan.Plan{
			want{needs: "/etc/old", ran: &ran}, want{needs: "/etc/old", makes: bring, ran: &ran}, want{needs: "/etc/new", later: true, ran: &ran},
			want{needs: "/etc/newer", later: true, ran: &ran}, want{needs: "/etc/old", ran: &ran},
		}
	}
	if p := checkedAgain(steps("")); len(p) != 5 || len(p.Preflight(context.Background(), m)) != 2 {
		t.Error("without packages, what is missing is not reported when planning")
	}
	p := checkedAgain(steps("/etc/new"))
	if got := p.Preflight(context.Background(), m); len(p) != 6 || len(got) != 0 {
		t.Errorf("what packages may bring is a problem: %v", got)
	}
	var err error
	for _, s := range p {
		if err = s.Run(context.Background(), m); err != nil {
			break
		}
	}
	unmet, ok := errors.AsType[*plan.Unmet](err)
	if !ok || len(unmet.Problems) != 1 || !strings.Contains(err.Error(), "/etc/newer") || len(ran) != 2 {
		t.Errorf("ran %v, then: %v", ran, err)
	}
	hard := plan.Plan{want{needs: "/etc/old", makes: "/etc/x", ran: &ran}, want{needs: "/etc/none", ran: &ran}}
	if len(hard.Preflight(context.Background(), m)) != 1 {
		t.Error("what no package brings is not reported when planning")
	}
}
