package scripts

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/feature"
)

// Flags add scripts.
func (FirstBoot) Flags() []feature.Flag {
	return []feature.Flag{
		{Name: "firstboot", Value: "SCRIPT", Help: "Run a script once, at the first boot.", Says: func(file string) ([]feature.Said, error) {
			text, interpreter, err := hostScript(file)
			return feature.Or(err)(sayFirstBoot(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), text, map[string]any{"interpreter": interpreter}))
		}},
		{Name: "firstboot-command", Value: "COMMAND", Help: "Run a command once, at the first boot, by /bin/sh.", Says: func(v string) ([]feature.Said, error) {
			return sayFirstBoot("command", v, map[string]any{})
		}},
		{Name: "firstboot-install", Value: "PACKAGE,...", Help: "Install packages at the first boot, over the network that the machine has then.", Says: func(v string) ([]feature.Said, error) {
			names, err := feature.ListFlag("", "", "", "").Says(v)
			var words []string
			for _, s := range names {
				for _, name := range s.Value.([]any) {
					words = append(words, feature.ShellWord(name.(string)))
				}
			}
			return feature.Or(err)(sayFirstBoot("install", strings.ReplaceAll(installText, "PACKAGES", strings.Join(words, " ")), map[string]any{"network": true}))
		}},
	}
}

// installText installs packages by whichever package manager the machine has.
const installText = `if command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update && apt-get -y install -- PACKAGES
else
  for p in dnf tdnf yum; do
    command -v $p >/dev/null && exec $p -y install PACKAGES
  done
  echo "no package manager that is known" >&2
  exit 1
fi
`

// sayFirstBoot is a script with a name that another run on the image does not give another script.
func sayFirstBoot(name, text string, more map[string]any) ([]feature.Said, error) {
	var b strings.Builder
	for _, r := range name {
		if r == '-' || isWord(r) {
			b.WriteRune(r)
		}
	}
	word := strings.Trim(b.String()[:min(b.Len(), 20)], "-")
	more["name"] = fmt.Sprintf("%s-%.8x", cmp.Or(word, "script"), sha256.Sum256([]byte(text)))
	more["content"] = text
	return feature.Say("os.firstBoot", []any{more})
}
