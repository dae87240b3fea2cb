package step

import (
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
)

// TestWhatMayBeASecretIsNotShown gives secrets in every wrong place.
func TestWhatMayBeASecretIsNotShown(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-of-mine"
	for _, yaml := range []string{
		"os: {users: [{name: a, pasword: s3cret-of-mine}]}", "os: {users: [{name: a, pasword: [s3cret-of-mine]}]}",
		"os: {users: [{name: a, x: {y: 's3cret-of-mine'}}]}", "os: {users: [{name: a, password: s3cret-of-mine}]}",
		"os: {users: [{name: a, password: [s3cret-of-mine]}]}", "os: {users: [{name: a, password: {type: plain-text, value: [s3cret-of-mine]}}]}",
		"os: {users: [{name: a, password: {type: plain-text, valu: s3cret-of-mine}}]}", "os: {users: [{name: a, password: {type: plain, value: s3cret-of-mine}}]}",
		"os: {users: s3cret-of-mine}", "os: {password: s3cret-of-mine}", "os: {rootPassword: s3cret-of-mine}", "secrets: {a: s3cret-of-mine}",
		"os: {users: [{name: a, password: {type: plain-text, value: a, value: s3cret-of-mine}}]}",
		"os:\n  users:\n  - name: a\n    sshKey: |\n      -----BEGIN\n      s3cret-of-mine\n", "os: {apiToken: s3cret-of-mine}",
		"os: {users: [{name: a, password: {type: hashed, value: s3cret-of-mine}}]}", "os: {users: [{name: a, password: {type: locked, value: s3cret-of-mine}}]}",
		"os:\n  users:\n  - name: a\n    password: {type: plain-text, value: \"s3cret-of-mine}\n", "os:\n  users:\n  - password: 's3cret-of-mine' x\n",
		"os: {users: [{name: a, sshPublicKeys: s3cret-of-mine}]}", "os: {users: [{name: a, pasword: &x s3cret-of-mine, y: *x}]}",
	} {
		doc, report := config.Parse(filepath.Join(t.TempDir(), "c.yaml"), []byte(yaml))
		if !report.Failed() {
			Decode(doc, config.Options{})
		}
		var b strings.Builder
		report.Render(&b, false)
		if !report.Failed() || strings.Contains(b.String(), secret) {
			t.Errorf("%s:\n%s", yaml, b.String())
		}
	}
}
