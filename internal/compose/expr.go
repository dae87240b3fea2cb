package compose

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// expr is an expression, as a tree: a value, a name, or what an operator makes of other expressions.
type expr struct {
	op    string // a word for what has no operands: "text", "number", "bool", "name"
	text  string
	left  *expr
	right *expr
}

// tokens of an expression: names, numbers, texts in quotes, and operators.
var token = regexp.MustCompile(`^\s*(?:([A-Za-z_][A-Za-z0-9_.-]*)|(-?[0-9]+)|"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|(==|!=|<=|>=|&&|\|\||[!<>()]))`)

// Bounds of an expression.
const (
	maxExpr  = 4096
	maxNests = 50
)

// parser reads an expression by recursive descent.
type parser struct {
	rest  string
	kind  string // of the next token: a word of expr.op, an operator, or empty at the end
	text  string
	nests int
}

// parseExpr reads an expression.
func parseExpr(text string) (*expr, error) {
	if len(text) > maxExpr {
		return nil, fmt.Errorf("the expression is too long")
	}
	p := &parser{rest: text}
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.binary(0)
	if err == nil && p.kind != "" {
		err = fmt.Errorf("%q does not belong behind an expression", p.text)
	}
	return e, err
}

func (p *parser) next() error {
	if strings.TrimSpace(p.rest) == "" {
		p.kind, p.text = "", "the end"
		return nil
	}
	m := token.FindStringSubmatchIndex(p.rest)
	if m == nil {
		return fmt.Errorf("%q is not understood", strings.TrimSpace(p.rest))
	}
	part := func(i int) string { return p.rest[m[2*i]:m[2*i+1]] }
	switch {
	case m[2] >= 0 && (part(1) == "true" || part(1) == "false"):
		p.kind, p.text = "bool", part(1)
	case m[2] >= 0:
		p.kind, p.text = "name", part(1)
	case m[4] >= 0:
		p.kind, p.text = "number", part(2)
	case m[6] >= 0:
		p.kind = "text"
		text, err := strconv.Unquote(`"` + part(3) + `"`)
		if err != nil {
			return fmt.Errorf("the text \"%s\" is not well formed", part(3))
		}
		p.text = text
	case m[8] >= 0:
		p.kind, p.text = "text", strings.ReplaceAll(part(4), "''", "'")
	default:
		p.kind, p.text = part(5), part(5)
	}
	p.rest = p.rest[m[1]:]
	return nil
}

// levels are the operators of two operands, the loosest first.
var levels = [][]string{{"||"}, {"&&"}, {"==", "!=", "<", "<=", ">", ">="}}

func (p *parser) binary(level int) (*expr, error) {
	if level == len(levels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	for err == nil && contains(levels[level], p.kind) {
		e := &expr{op: p.kind, left: left}
		if err = p.next(); err == nil {
			e.right, err = p.binary(level + 1)
		}
		left = e
		if level == len(levels)-1 && err == nil && contains(levels[level], p.kind) {
			err = fmt.Errorf("comparisons cannot be chained: put one of them in parentheses")
		}
	}
	return left, err
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func (p *parser) unary() (*expr, error) {
	if p.nests++; p.nests > maxNests {
		return nil, fmt.Errorf("the expression is nested too deeply")
	}
	defer func() { p.nests-- }()
	kind, text := p.kind, p.text
	switch kind {
	case "!":
		if err := p.next(); err != nil {
			return nil, err
		}
		of, err := p.unary()
		return &expr{op: "!", left: of}, err
	case "(":
		return p.parentheses()
	case "name", "number", "text", "bool":
		return &expr{op: kind, text: text}, p.next()
	case "":
		return nil, fmt.Errorf("the expression ends too early")
	}
	return nil, fmt.Errorf("%q is not the beginning of a value", text)
}

func (p *parser) parentheses() (*expr, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	e, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if p.kind != ")" {
		return nil, fmt.Errorf("a ( is not closed")
	}
	return e, p.next()
}

// String writes the expression, fully in parentheses.
func (e *expr) String() string {
	switch {
	case e.op == "text":
		return strconv.Quote(e.text)
	case e.left == nil:
		return e.text
	case e.right == nil:
		return "!" + e.left.String()
	}
	return "(" + e.left.String() + " " + e.op + " " + e.right.String() + ")"
}

// segment is a part of a text: an expression, or what stands between expressions.
type segment struct {
	text string
	expr bool
}

// segments cuts a text at its expressions, ${{ ... }}. A $ before one takes its meaning away, and goes.
func segments(text string) (list []segment, err error) {
	const open, shut = "${{", "}}"
	plain := ""
	for {
		i := strings.Index(text, open)
		if i < 0 {
			return appendPlain(list, plain+text), nil
		}
		if i > 0 && text[i-1] == '$' {
			plain += text[:i-1] + open
			text = text[i+len(open):]
			continue
		}
		list = appendPlain(list, plain+text[:i])
		plain, text = "", text[i+len(open):]
		end := closing(text, shut)
		if end < 0 {
			return nil, fmt.Errorf("%s is not closed by %s; where it is not meant as an expression, write $%s", open, shut, open)
		}
		list = append(list, segment{strings.TrimSpace(text[:end]), true})
		text = text[end+len(shut):]
	}
}

func appendPlain(list []segment, text string) []segment {
	if text == "" {
		return list
	}
	return append(list, segment{text, false})
}

// closing finds where an expression ends; its texts may hold what ends it.
func closing(text, shut string) int {
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.HasPrefix(text[i:], shut):
			return i
		}
	}
	return -1
}
