package step

import (
	"strings"
	"testing"

	"imagecustomizer/internal/config"
)

func TestTwoAccountsWithOneNumber(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{"os: {users: [{name: a, uid: 5}, {name: b, uid: 5}]}", "os: {groups: [{name: a, gid: 7}, {name: b, gid: 7}]}"} {
		doc, report := config.Parse("x.yaml", []byte(yaml))
		Decode(doc, config.Options{})
		if !report.Failed() || !strings.Contains(report.Err().Error(), "a number of its own") {
			t.Errorf("%s: %v", yaml, report.Err())
		}
	}
}
