package compose

import (
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	feature "imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/step"
)

// Secret is a secret variable that a config uses. Its value is not in it: nothing of it is read, and no command is run,
// before a run begins.
type Secret struct {
	Name         string
	From         Source
	Text         *string // that --set-file has read; it wins over From
	AllowShort   bool
	MayBeInImage []string

	At *config.At `json:"-"` // of its declaration
}

// soundSecret reports what cannot be in the declaration of a secret.
func (v *variable) soundSecret(bad func(format string, args ...any)) {
	sources := 0
	for _, there := range []bool{v.From.Env != "", v.From.File.Text != "", len(v.From.Command) > 0} {
		if there {
			sources++
		}
	}
	switch {
	case v.fallback != nil:
		bad("the variable %s is a secret, which cannot stand in a config", v.name)
	case v.Public:
		bad("the variable %s is a secret, and public", v.name)
	case sources > 1:
		bad("the secret %s has more than one source", v.name)
	case len(v.From.Command) > 0 && v.From.Command[0] == "":
		bad("the command of the secret %s is an empty word", v.name)
	}
	for _, p := range v.MayBeInImage {
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
			bad("mayBeInImage of %s: %q is not the absolute path of a file in the image", v.name, p)
		}
	}
}

// settleSecret finds where a secret comes from. Its value is only asked for by a run.
func (c *composer) settleSecret(v *variable) {
	for _, s := range c.settings {
		switch {
		case s.name != v.name || s.flag == ofMatrix: // which is reported
			continue
		case s.node != nil:
			s.node.At().Hide()
			s.node.At().Errorf("%s is a secret, which cannot stand in a file of values", v.name).Hint("use --set-file %s=FILE, or declare from", v.name)
		case strings.HasPrefix(s.flag, "--set "):
			c.report.HideText(*s.text)
			c.report.Add(s.flag, "%s is a secret, and the process list shows the command line", v.name).Hint("use --set-file %s=FILE", v.name)
		default:
			c.report.HideText(*s.text)
			v.given, v.has = s.text, true
			return
		}
		v.broken = true
		return
	}
	if v.has = v.From.named(); !v.has {
		v.at.Errorf("the secret %s has no value", v.name).Hint("write from: {env: NAME}, {file: FILE} or {command: [...]}, or give --set-file %s=FILE", v.name)
		v.broken = true
	}
}

// secretsOf are the secret variables that expressions of a text name, and nothing else.
func (x expander) secretsOf(list []segment) (names []string) {
	for _, s := range list {
		if v := x.secretVariable(s); v != nil {
			names = append(names, v.name)
		}
	}
	return names
}

// secretVariable is the secret that an expression is, if it is one.
func (x expander) secretVariable(s segment) *variable {
	if !s.expr {
		return nil
	}
	e, err := parseExpr(s.text)
	if err != nil || e.op != "name" {
		return nil
	}
	env, isEnv := strings.CutPrefix(e.text, "env.")
	for _, v := range x.vars {
		if v.Type == "secret" && (v.name == e.text || isEnv && v.From.Env == env) {
			return v
		}
	}
	return nil
}

// secretText is a text that holds secrets: with their values, where those are known, or else with their names.
func (x expander) secretText(list []segment, names []string, at *config.At) config.Value {
	for _, n := range names {
		x.c.used[n] = true
		x.c.settle(x.vars[n])
	}
	if _, takes := config.SecretField(step.Root, at.Path()); !takes || inRound(at.Path()) {
		at.Errorf("%s cannot be a secret: secrets can stand in %s, and scripts read them from /run/secrets", lastKey(at.Path()), strings.Join(slices.DeleteFunc(config.SecretPaths(step.Root), inRound), " and ")).
			Hint("for a script, write \"secrets: [%s]\" beside it", names[0])
		return nothing
	}
	value := config.Value{Secrets: names, Pending: x.c.options.Secrets == nil}
	var b strings.Builder
	for _, s := range list {
		v := x.secretVariable(s)
		switch {
		case v != nil && value.Pending:
			b.WriteString("${{ " + v.name + " }}")
		case v != nil:
			b.WriteString(x.c.options.Secrets[v.name])
		case s.expr:
			one, ok := x.value(s.text, at)
			if !ok {
				return nothing
			}
			b.WriteString(escaped(one.String(), value.Pending))
		default:
			b.WriteString(escaped(s.text, value.Pending))
		}
	}
	value.Text = b.String()
	return value
}

// inRound tells whether a path is one of a round, which takes no secrets.
func inRound(path string) bool { return strings.HasPrefix(path, "rounds") }

// escaped is a text in which nothing is an expression, where it is read as one that may have some.
func escaped(text string, read bool) string {
	if !read {
		return text
	}
	return strings.ReplaceAll(text, "${{", "$${{")
}

func lastKey(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// secretsOfScripts are the secrets that scripts of a part of a config name. One that nobody declares is reported.
func secretsOfScripts(doc *config.Document, cfg *step.Config, vars map[string]*variable) (names []string) {
	section := doc.At().Field("scripts")
	for key, list := range map[string][]feature.Script{"postCustomization": cfg.Scripts.PostCustomization, "finalizeCustomization": cfg.Scripts.FinalizeCustomization} {
		for i, s := range list {
			for j, n := range s.Secrets {
				at := section.Field(key).Index(i).Field("secrets").Index(j)
				name := string(n)
				switch v := vars[name]; {
				case v == nil:
					declared := slices.DeleteFunc(sortedKeys(vars), func(n string) bool { return vars[n].Type != "secret" })
					at.Errorf("there is no secret %s", name).Hint("%s", config.DidYouMean(name, declared, "declare it below variables, in the file that the command line names: \""+name+": {type: secret, from: {env: NAME}}\""))
				case v.Type != "secret" && !v.broken:
					at.Errorf("the variable %s is no secret", name).Hint("name it in an expression: ${{ %s }}", name)
				default:
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// checkContents reports files that are to hold a secret which may not be in them.
func (c *chain) checkContents(l layer) {
	for i, f := range l.cfg.OS.AdditionalFiles {
		for _, name := range f.Secrets {
			if v := c.variables[name]; v != nil && !slices.Contains(v.MayBeInImage, path.Clean(string(f.Destination))) {
				at := l.doc.At().Field("os").Field("additionalFiles").Index(i).Field("content")
				at.Errorf("the secret %s would be in the image, in %s", name, f.Destination).Hint("where that is meant, declare mayBeInImage: [%s]", path.Clean(string(f.Destination)))
			}
		}
	}
}

// useSecrets are the secrets that the config uses, by their names. Those that base configs name are looked at here.
func (c *chain) useSecrets() (list []Secret) {
	for _, l := range c.layers {
		for _, n := range secretsOfScripts(l.doc, l.cfg, c.variables) {
			c.used[n] = true
		}
	}
	for _, l := range c.layers {
		c.checkContents(l)
	}
	for _, name := range sortedKeys(c.variables) {
		if v := c.variables[name]; v.Type == "secret" && c.used[name] && v.has {
			list = append(list, Secret{Name: name, From: v.From, Text: v.given, AllowShort: v.AllowShort, MayBeInImage: v.MayBeInImage, At: v.at})
		}
	}
	return list
}
