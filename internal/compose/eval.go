package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
)

// Facts are what conditions can ask of a base image.
type Facts struct {
	Arch    string // as uname -m says it
	Distro  string // ID of os-release(5)
	Version string // VERSION_ID of os-release(5)
}

// facts are their names in expressions.
var facts = []string{"arch", "distro", "version"}

// typed is the value of an expression, or what is known of it.
type typed struct {
	kind   string // bool, int, list, text, version, or arch
	values []string
	value  config.Value
	known  bool // there is a value: a fact is known only when the base image is open
}

func boolean(b, known bool) typed {
	return typed{kind: "bool", value: config.Value{Kind: config.BoolValue, Bool: b}, known: known}
}

func text(s string) typed { return typed{kind: "text", value: config.Value{Text: s}, known: true} }

// scope is what the names of an expression mean.
type scope struct {
	c         *composer
	variables map[string]*variable
	when      bool // the expression is a condition, which may ask for facts
	needed    bool // a value that is missing is a mistake
}

// eval finds the value of an expression. Both sides of an operator are looked at, so that no mistake hides.
func (s scope) eval(e *expr) (typed, error) {
	switch e.op {
	case "text":
		return text(e.text), nil
	case "bool":
		return boolean(e.text == "true", true), nil
	case "number":
		n, err := strconv.ParseInt(e.text, 10, 64)
		if err != nil {
			return typed{}, fmt.Errorf("%s is too large a number", e.text)
		}
		return typed{kind: "int", value: config.Value{Kind: config.IntValue, Int: n}, known: true}, nil
	case "name":
		return s.name(e.text)
	}
	left, err := s.eval(e.left)
	if err != nil {
		return typed{}, err
	}
	if e.op == "!" {
		return boolean(!left.value.Bool, left.known), wantBool("!", e.left, left)
	}
	right, err := s.eval(e.right)
	if err != nil {
		return typed{}, err
	}
	switch e.op {
	case "&&", "||":
		return logic(e, left, right)
	}
	return compare(e, left, right)
}

func wantBool(op string, e *expr, t typed) error {
	if t.kind == "bool" {
		return nil
	}
	return fmt.Errorf("%s wants true or false, and %s is not that", op, e)
}

// logic joins two conditions. One of them may settle it where the other is not known yet.
func logic(e *expr, left, right typed) (typed, error) {
	if err := wantBool(e.op, e.left, left); err != nil {
		return typed{}, err
	}
	if err := wantBool(e.op, e.right, right); err != nil {
		return typed{}, err
	}
	settles := e.op == "||"
	for _, t := range []typed{left, right} {
		if t.known && t.value.Bool == settles {
			return boolean(settles, true), nil
		}
	}
	return boolean(!settles, left.known && right.known), nil
}

// compare compares two values of one type.
func compare(e *expr, left, right typed) (typed, error) {
	if right.kind != "text" && left.kind == "text" {
		flipped := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}
		op := e.op
		if f := flipped[op]; f != "" {
			op = f
		}
		return compare(&expr{op: op, left: e.right, right: e.left}, right, left)
	}
	ordered := left.kind == "int" || left.kind == "version"
	switch {
	case left.kind == "list" || right.kind == "list":
		return typed{}, fmt.Errorf("a list cannot be compared")
	case left.kind != right.kind && !(right.kind == "text" && contains([]string{"version", "arch"}, left.kind)):
		return typed{}, fmt.Errorf("%s and %s are of different types, and never equal", e.left, e.right)
	case e.op != "==" && e.op != "!=" && !ordered:
		return typed{}, fmt.Errorf("%s compares numbers and versions, and %s is neither", e.op, e.left)
	}
	for _, x := range [][2]typed{{left, right}, {right, left}} {
		if word := x[1].value.Text; len(x[0].values) > 0 && x[1].known && !slices.Contains(x[0].values, word) && len(x[1].values) == 0 {
			return typed{}, fmt.Errorf("%s is never %q: %s", e.left, word, config.DidYouMean(word, x[0].values, "it is one of "+strings.Join(x[0].values, ", ")))
		}
	}
	if !left.known || !right.known {
		return boolean(false, false), nil
	}
	order := orderOf(left, right)
	return boolean(map[string]bool{"==": order == 0, "!=": order != 0, "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[e.op], true), nil
}

func orderOf(left, right typed) int {
	switch a, b := left.value, right.value; left.kind {
	case "int":
		return compareInts(a.Int, b.Int)
	case "version":
		return compareVersions(a.Text, b.Text)
	case "arch":
		return strings.Compare(archName(a.Text), archName(b.Text))
	default:
		return strings.Compare(a.String(), b.String())
	}
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareVersions compares versions part by part, numbers as numbers: 3.0 is 3, and before 3.10.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := "0", "0"
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		nx, errX := strconv.ParseInt(x, 10, 64)
		ny, errY := strconv.ParseInt(y, 10, 64)
		order := strings.Compare(x, y)
		if errX == nil && errY == nil {
			order = compareInts(nx, ny)
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// archName is the name of an architecture that goes by several.
func archName(s string) string {
	names := map[string]string{"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "aa64": "aarch64"}
	if n := names[s]; n != "" {
		return n
	}
	return s
}

// name is what a name means.
func (s scope) name(name string) (typed, error) {
	if p, ok := strings.CutPrefix(name, "profile."); ok {
		return s.c.profile(p)
	}
	if env, ok := strings.CutPrefix(name, "env."); ok {
		for _, v := range s.variables {
			if v.From.Env == env {
				return s.variable(v)
			}
		}
		return typed{}, fmt.Errorf("the environment variable %s is not declared: declare a variable with \"from: {env: %s}\" in the file that is given on the command line", env, env)
	}
	if n, ok := strings.CutPrefix(name, "matrix."); ok {
		return s.cell(n)
	}
	if contains(facts, name) {
		return s.fact(name)
	}
	if v := s.variables[name]; v != nil {
		return s.variable(v)
	}
	names := append(sortedKeys(s.variables), facts...)
	return typed{}, fmt.Errorf("there is no variable %q: %s", name, config.DidYouMean(name, names, "declare it below variables"))
}

func (s scope) fact(name string) (typed, error) {
	if !s.when {
		return typed{}, fmt.Errorf("%s is a fact of the base image, which only a condition can ask for: use it in when", name)
	}
	t := typed{kind: map[string]string{"arch": "arch", "distro": "text", "version": "version"}[name]}
	if f := s.c.options.Facts; f != nil {
		t.known = true
		t.value.Text = map[string]string{"arch": f.Arch, "distro": f.Distro, "version": f.Version}[name]
	} else if value, given := s.c.given[name]; given {
		t.known, t.value.Text = true, value
	}
	return t, nil
}

func (s scope) variable(v *variable) (typed, error) {
	s.c.settle(v)
	s.c.used[v.name] = true
	if v.Type == "secret" {
		return typed{}, fmt.Errorf("%s is a secret, which can only stand for itself in a field that takes secrets: ${{ %s }}", v.name, v.name)
	}
	if !v.has && s.needed && !v.broken && !s.c.missed[v.name] {
		s.c.missed[v.name] = true
		return typed{}, fmt.Errorf("the variable %s has no value: give one with --set %s=..., or a default", v.name, v.name)
	}
	return typed{kind: v.kind(), values: v.Values, value: v.value, known: v.has}, nil
}
