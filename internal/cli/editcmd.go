package cli

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/step"
)

// editCmd changes an image as flags say, of which features bring their own.
type editCmd struct {
	ImageFile   string   `short:"a" aliases:"add" help:"Image to change: ${readable}, or an ISO image of this program." placeholder:"FILE"`
	Output      []string `short:"o" sep:"none" help:"Image to write, in the format that the ending of its name says, or FORMAT=PATH; repeatable. The image that is read stays as it is." placeholder:"FILE"`
	InPlace     bool     `help:"Replace the image that is read, when the new one is complete: it keeps its format, owner, permissions and attributes. Refused where somebody has it open. See [edit](edit.md)."`
	Backup      string   `help:"Keep the old image under its name with this at the end, such as .orig. For --in-place." placeholder:"SUFFIX"`
	PrintConfig bool     `help:"Print the config that the flags come to, which customize takes, and do nothing else. Needs no root, and no image."`

	workFlags
	sourceFlags
	rootFlags

	kong.Plugins // flags of features

	given *[]givenFlag
}

// givenFlag is one that was given.
type givenFlag struct {
	flag  feature.Flag
	value string
}

// featureFlag and featureSwitch are fields of the command line whose values are kept in the order in which they are
// given, and not in the fields.
type (
	featureFlag   struct{}
	featureSwitch struct{}
)

// IsBool has kong take no value.
func (featureSwitch) IsBool() bool { return true }

// newEditCmd is the command with the flags of all features.
func newEditCmd() editCmd {
	var fields []reflect.StructField
	for i, f := range step.Flags() {
		t := reflect.TypeFor[featureFlag]()
		if f.Value == "" {
			t = reflect.TypeFor[featureSwitch]()
		}
		tag := fmt.Sprintf(`name:%q help:%s placeholder:%q`, f.Name, strconv.Quote(f.Help), f.Value)
		if len(f.Aliases) > 0 {
			tag += fmt.Sprintf(" aliases:%q", strings.Join(f.Aliases, ","))
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: t, Tag: reflect.StructTag(tag)})
	}
	return editCmd{Plugins: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}, given: &[]givenFlag{}}
}

// inOrder are the options of a parser that keep the flags of features in their order.
func (c *editCmd) inOrder() []kong.Option {
	flags := map[string]feature.Flag{}
	for _, f := range step.Flags() {
		flags[f.Name] = f
	}
	keep := func(ctx *kong.DecodeContext, _ reflect.Value) error {
		g := givenFlag{flag: flags[ctx.Value.Name]}
		if g.flag.Value != "" {
			if err := ctx.Scan.PopValueInto("value", &g.value); err != nil {
				return err
			}
		}
		*c.given = append(*c.given, g)
		return nil
	}
	return []kong.Option{
		kong.TypeMapper(reflect.TypeFor[featureFlag](), kong.MapperFunc(keep)),
		kong.TypeMapper(reflect.TypeFor[featureSwitch](), switchMapper(keep)),
	}
}

// switchMapper maps flags that have no value.
type switchMapper kong.MapperFunc

// Decode takes the flag.
func (m switchMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	return m(ctx, target)
}

// IsBool has kong take no value.
func (switchMapper) IsBool() bool { return true }

// says is what the flags that were given say.
func (c *editCmd) says() (list []compose.Flag, err error) {
	for _, g := range *c.given {
		name := "--" + g.flag.Name
		if g.value != "" && !g.flag.Secret {
			name += " " + g.value
		}
		parts, bad := g.flag.Says(g.value)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, bad))
		}
		list = append(list, compose.Flag{Name: name, Said: parts})
	}
	if len(*c.given) == 0 {
		err = errors.New("there is nothing to change: give at least one flag such as --install, --copy-in or --run-command; \"imagecustomizer edit --help\" lists them")
	}
	return list, err
}

// Run changes an image.
func (c *editCmd) Run(s *session) error {
	flags, err := c.says()
	if err != nil {
		return &failure.Failure{Code: failure.Usage, Err: err}
	}
	o := app.EditOptions{
		CustomizeOptions: app.CustomizeOptions{
			ImageFile: c.ImageFile, RPMSources: listed(c.RPMSource), DebSources: listed(c.DebSource), NoBaseRepos: c.DisableBaseImageRPMRepos,
			Root: c.choice(),
		},
		Flags: flags, Outputs: c.Output, InPlace: c.InPlace, Backup: c.Backup,
	}
	c.apply(&o.CustomizeOptions)
	if c.PrintConfig {
		return app.PrintEdit(o, s.ui, s.stdout)
	}
	return app.Edit(s.ctx, o, s.ui, s.stdout)
}
