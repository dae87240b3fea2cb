package scripts

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostfs"
)

const scriptPath = "scripts.postCustomization"

// Flags run scripts, the user's own and those that change files of the image.
func (s Phase) Flags() []feature.Flag {
	if s.Name != "postCustomization" { // those that run last have none
		return nil
	}
	return append([]feature.Flag{
		{Name: "run", Value: "SCRIPT", Help: "Run a script in the image, by the program that its first line names, or /bin/sh.", Says: sayScript},
		{Name: "run-command", Value: "COMMAND", Help: "Run a command in the image, by /bin/sh.", Says: func(v string) ([]feature.Said, error) {
			return feature.Say(scriptPath, []any{map[string]any{"content": v}})
		}},
	}, fileFlags...)
}

// fileFlags are virt-customize's for files of the image. Each is a script of one line, by programs of the image.
var fileFlags = []feature.Flag{
	{Name: "mkdir", Value: "DIRECTORY", Help: "Make a directory in the image, and those above it.", Says: func(v string) ([]feature.Said, error) {
		list, err := command("mkdir", "mkdir -p -- %s", v)
		for i := range list {
			list[i].Anywhere = true // files bring their directories
		}
		return list, err
	}},
	{Name: "delete", Value: "PATH", Help: "Remove a file of the image, or a directory with all that is in it. * ? and [ ] stand for parts of names.", Says: func(v string) ([]feature.Said, error) {
		return globbed("delete", "rm -rf -- %s", v)
	}},
	{Name: "scrub", Value: "FILE", Help: "Overwrite a file of the image, and remove it.", Says: func(v string) ([]feature.Said, error) {
		return command("scrub", "shred -u -- %s", v)
	}},
	{Name: "chmod", Value: "MODE:FILE", Help: "Permissions of a file of the image, in octal.", Says: func(v string) ([]feature.Said, error) {
		mode, file, err := feature.Pair(v, ":", "MODE:FILE, such as 0600:/etc/key")
		if err == nil && strings.Trim(mode, "01234567") != "" {
			err = fmt.Errorf("%q is not a number in octal, such as 0600", mode)
		}
		return feature.Or(err)(command("chmod", "chmod -- "+mode+" %s", file))
	}},
	{Name: "chown", Value: "USER:GROUP:PATH", Help: "Owner and group of a file of the image, by names or numbers.", Says: func(v string) ([]feature.Said, error) {
		user, rest, err := feature.Pair(v, ":", "USER:GROUP:PATH, such as www-data:www-data:/srv/www")
		group, file, err2 := feature.Pair(rest, ":", "USER:GROUP:PATH, such as www-data:www-data:/srv/www")
		return feature.Or(errors.Join(err, err2))(command("chown", "chown -- "+feature.ShellWord(user+":"+group)+" %s", file))
	}},
	{Name: "copy", Value: "SOURCE:DESTINATION", Help: "Copy a file or directory within the image.", Says: twoPaths("copy", "cp -a -- %s %s")},
	{Name: "move", Value: "SOURCE:DESTINATION", Help: "Move or rename a file or directory of the image.", Says: twoPaths("move", "mv -- %s %s")},
	{Name: "link", Value: "TARGET:LINK", Help: "Make a symbolic link in the image; LINK:LINK:... makes several to one target.", Says: sayLinks},
	{Name: "touch", Value: "FILE", Help: "Make an empty file in the image, or set the time of one to now.", Says: func(v string) ([]feature.Said, error) {
		return command("touch", "touch -- %s", v)
	}},
	{Name: "truncate", Value: "FILE", Help: "Empty a file of the image.", Says: func(v string) ([]feature.Said, error) {
		return command("truncate", "truncate -c -s 0 -- %[1]s && test -e %[1]s", v)
	}},
	{Name: "truncate-recursive", Value: "PATH", Help: "Empty all files below a directory of the image.", Says: func(v string) ([]feature.Said, error) {
		return command("truncate", "find %s -type f -exec truncate -s 0 -- {} +", v)
	}},
	{Name: "append-line", Value: "FILE:LINE", Help: "Add a line to the end of a file of the image, which is made if it is not there.", Says: func(v string) ([]feature.Said, error) {
		file, line, err := feature.Pair(v, ":", "FILE:LINE, such as /etc/hosts:192.0.2.1 db")
		return feature.Or(err)(command("append a line to", strings.ReplaceAll(appendLine, "LINE", strings.ReplaceAll(feature.ShellWord(line), "%", "%%")), file))
	}},
	{Name: "edit", Value: "FILE:EXPRESSION", Help: "Change each line of a file of the image by an expression of Perl, such as s/a/b/. It takes perl in the image.", Says: func(v string) ([]feature.Said, error) {
		file, expr, err := feature.Pair(v, ":", "FILE:EXPRESSION, such as '/etc/default/grub:s/quiet//'")
		return feature.Or(err)(command("edit", "perl -p -i -e "+strings.ReplaceAll(feature.ShellWord(expr), "%", "%%")+" -- %s", file))
	}},
}

// appendLine begins a line of its own, with the line end of the file's first line.
const appendLine = `f=%s
cr=$(head -n 1 -- "$f" 2>/dev/null | tr -dc '\r')
[ ! -s "$f" ] || [ -z "$(tail -c 1 -- "$f")" ] || printf '%%s\n' "$cr" >> "$f"
printf '%%s%%s\n' LINE "$cr" >> "$f"`

// command is a script of one command, into which quoted paths of the image are put.
func command(name, form string, paths ...string) ([]feature.Said, error) {
	var words []any
	for _, p := range paths {
		if !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("%q is not an absolute path in the image: begin it with \"/\"", p)
		}
		words = append(words, feature.ShellWord(p))
	}
	return sayCommand(name+" "+strings.Join(paths, " "), fmt.Sprintf(form, words...))
}

func sayCommand(name, text string) ([]feature.Said, error) {
	return feature.Say(scriptPath, []any{map[string]any{"name": name, "content": text}})
}

// globbed is a command with one path, in which the characters that stand for others keep their meaning.
func globbed(name, form, file string) ([]feature.Said, error) {
	if !strings.HasPrefix(file, "/") || strings.ContainsAny(file, "\n\x00") {
		return nil, fmt.Errorf("%q is not an absolute path in the image: begin it with \"/\"", file)
	}
	if clean := path.Clean(file); clean == "/" || clean == "/*" {
		return nil, fmt.Errorf("%s is all of the image", file)
	}
	var b strings.Builder
	for _, r := range file {
		if !strings.ContainsRune("*?[]-/._", r) && r < 0x80 && !isWord(r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return sayCommand(name+" "+file, fmt.Sprintf(form, b.String()))
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// twoPaths is a command with two paths of the image.
func twoPaths(name, form string) func(string) ([]feature.Said, error) {
	return func(v string) ([]feature.Said, error) {
		from, to, err := feature.Pair(v, ":", "SOURCE:DESTINATION")
		return feature.Or(err)(command(name, form, from, to))
	}
}

// sayLinks makes links to one target, which may be relative.
func sayLinks(v string) ([]feature.Said, error) {
	target, links, err := feature.Pair(v, ":", "TARGET:LINK, such as ../run/app.conf:/etc/app.conf")
	form := "ln -s -f -n -- " + strings.ReplaceAll(feature.ShellWord(target), "%", "%%") + " %s"
	var list []feature.Said
	for link := range strings.SplitSeq(links, ":") {
		one, bad := command("link", form, link)
		list, err = append(list, one...), errors.Join(err, bad)
	}
	return list, err
}

// sayScript is a script of the build host, which may lie anywhere there: its text becomes part of the config.
func sayScript(file string) ([]feature.Said, error) {
	text, interpreter, err := hostScript(file)
	return feature.Or(err)(feature.Say(scriptPath, []any{map[string]any{"name": filepath.Base(file), "content": text, "interpreter": interpreter}}))
}

// plainOptions are options of a shell that its command set takes too.
var plainOptions = regexp.MustCompile(`^-[abefhmnuvxC]+$`)

// hostScript is the text of a script of the build host, and what runs it. Options that its first line gives a shell are
// set by a first line of its own.
func hostScript(file string) (text, interpreter string, err error) {
	data, err := hostfs.ReadSmall(file, maxScript)
	if err != nil {
		return "", "", err
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	program := shebang(string(data))
	switch words := strings.Fields(strings.TrimPrefix(first, "#!")); {
	case program == "":
		return string(data), "/bin/sh", nil
	case len(words) < 2 || path.Base(words[0]) == "env" && len(words) == 2:
		return string(data), program, nil
	case len(words) == 2 && slices.Contains(shells, path.Base(program)) && plainOptions.MatchString(words[1]):
		return "set " + words[1] + "\n" + rest, program, nil
	}
	return "", "", fmt.Errorf("the first line of %s gives its program options, which cannot be kept: %s", file, first)
}
