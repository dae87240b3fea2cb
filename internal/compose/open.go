package compose

import (
	"slices"

	"imagecustomizer/internal/config"
)

// openPart is a part of a config of which not all is known: it counts under a condition, or some items of its lists do.
type openPart struct {
	doc  *config.Document
	when string // empty where it counts for sure
}

// leaveOpen is what the parts come to before it is known what the base image is. What comes before the first that asks for
// that is one; all others stay apart, for what they replace depends on it.
func (c *composer) leaveOpen(parts []part, vars map[string]*variable) {
	var sure []*config.Document
	closed := false // something is open already
	for _, p := range parts {
		taken, known := c.holds(p.conds, vars)
		if known && !taken {
			continue
		}
		waiting := c.waiting
		c.waiting = false
		doc := p.doc.Expand(expander{c: c, vars: vars, open: true})
		closed, c.waiting = closed || c.waiting || !known, waiting || c.waiting
		switch {
		case doc.Root().Kind() != config.Map || len(doc.Root().Pairs()) == 0:
		case !closed:
			sure = append(sure, doc)
		default:
			c.open = append(c.open, openPart{doc, c.residual(p.conds, vars)})
		}
	}
	if len(sure) > 0 {
		c.open = slices.Insert(c.open, 0, openPart{doc: config.Merge(sure, inParts)})
	}
}
