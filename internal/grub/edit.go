package grub

import "slices"

// Edit is new text for a part of a text.
type Edit struct {
	Start, End int
	Text       string
}

// Apply makes edits, which do not overlap. Of two at the same place the one named later comes first.
func Apply(text string, edits []Edit) string {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return b.Start - a.Start }) // from the end, so that places stay right
	for _, e := range edits {
		text = text[:e.Start] + e.Text + text[e.End:]
	}
	return text
}
