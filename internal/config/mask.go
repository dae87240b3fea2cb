package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// tooShort is the length up to which a secret is masked only where it stands: it is part of other words.
const tooShort = 3

// mask is how a report is shown without what it hides.
type mask struct {
	texts *strings.Replacer
	spans map[string]map[int][]span // by file and line
}

// span is a part of a line, in bytes.
type span struct{ from, to int }

// mask finds out where the hidden texts stand.
func (r *Report) mask() mask {
	m := mask{spans: map[string]map[int][]span{}}
	var texts []string
	for _, s := range r.secrets {
		if utf8.RuneCountInString(s.text) > tooShort {
			texts = append(texts, s.text)
		}
		if s.node != nil {
			m.add(s.file, r.sources[s.file], s.node)
		}
	}
	for file, list := range r.suspects {
		for _, n := range list {
			if !r.cleared[n] {
				m.add(file, r.sources[file], n)
			}
		}
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, t := range slices.Compact(texts) {
		pairs = append(pairs, t, stars(t))
	}
	m.texts = strings.NewReplacer(pairs...)
	return m
}

func stars(text string) string { return strings.Repeat("*", utf8.RuneCountInString(text)) }

func (m mask) add(file string, lines []string, n *yaml.Node) {
	if m.spans[file] == nil {
		m.spans[file] = map[int][]span{}
	}
	covered(lines, n, func(line int, s span) { m.spans[file][line] = append(m.spans[file][line], s) })
}

// text is a text without the secrets that are long enough to be told.
func (m mask) text(s string) string { return m.texts.Replace(s) }

// line is a line of a file with stars in the place of secrets. It has as many characters as before.
func (m mask) line(file string, number int, text string) string {
	hidden := []byte(text)
	for _, s := range m.spans[file][number] {
		for i := s.from; i < min(s.to, len(hidden)); i++ {
			hidden[i] = 0
		}
	}
	var b strings.Builder
	for i, c := range text {
		if hidden[i] == 0 && text[i] != 0 {
			c = '*'
		}
		b.WriteRune(c)
	}
	return m.text(b.String())
}

// properties matches what stands before the text of a scalar: its anchor and tag.
var properties = regexp.MustCompile(`^(?:[&!]\S*\s+)*`)

// covered finds the parts of lines on which a scalar stands, however it is written.
func covered(lines []string, n *yaml.Node, add func(line int, s span)) {
	if n.Line < 1 || n.Line > len(lines) {
		return
	}
	first := lines[n.Line-1]
	from := len(string([]rune(first)[:min(max(n.Column-1, 0), utf8.RuneCountInString(first))]))
	from += len(properties.FindString(first[from:]))
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		coverBlock(lines, n.Line, add)
	case from < len(first) && (first[from] == '"' || first[from] == '\''):
		coverQuoted(lines, n.Line, from, add)
	default:
		coverPlain(lines, n.Line, from, n.Value, add)
	}
}

// coverBlock covers the lines below that of a block scalar, as long as they are indented as the first of them.
func coverBlock(lines []string, header int, add func(int, span)) {
	indent := 0
	for i := header; i < len(lines); i++ {
		at := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
		switch {
		case strings.TrimSpace(lines[i]) == "":
			continue
		case indent == 0:
			indent = max(1, at)
		case at < indent:
			return
		}
		add(i+1, span{at, len(lines[i])})
	}
}

// coverQuoted covers what stands between quotes, over several lines too.
func coverQuoted(lines []string, line, from int, add func(int, span)) {
	quote := lines[line-1][from]
	from++
	for ; line <= len(lines); line++ {
		text := lines[line-1]
		for i := from; i < len(text); i++ {
			switch {
			case quote == '"' && text[i] == '\\':
				i++
			case quote == '\'' && strings.HasPrefix(text[i:], "''"):
				i++
			case text[i] == quote:
				add(line, span{from, i})
				return
			}
		}
		add(line, span{from, len(text)})
		from = 0
	}
}

// coverPlain covers a text without quotes. Where its lines are not those of the value, the first is covered to its end.
func coverPlain(lines []string, line, from int, value string, add func(int, span)) {
	rest := value
	for first := true; rest != "" && line <= len(lines); line, first = line+1, false {
		text := lines[line-1]
		if !first {
			from = len(text) - len(strings.TrimLeft(text, " \t"))
		}
		n := shared(text[from:], rest)
		switch {
		case n == 0 && first:
			add(line, span{from, len(text)})
			return
		case n == 0 && strings.TrimSpace(text) != "":
			return
		}
		add(line, span{from, from + n})
		rest = strings.TrimLeft(rest[n:], " \n")
	}
}

// shared is how many bytes two texts begin with in common.
func shared(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
