package diskformat

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []int64
		report := Paced(func(done, _ int64) { got = append(got, done) })
		for done := range int64(26) {
			report(done, 25)
			time.Sleep(pace / 10)
		}
		if d := cmp.Diff([]int64{0, 10, 20, 25}, got); d != "" {
			t.Error(d)
		}
	})
	Paced(nil)(1, 2)
}
