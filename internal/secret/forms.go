package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// Forms are the texts in which a secret shows where it is written out: itself, each of its lines, and both in base64 (RFC
// 4648, at each of the three places where it may begin in what is encoded, in both alphabets) and hexadecimal digits.
// Whoever prints or logs anything masks these.
func Forms(text string) (list []string) {
	add := func(form string) {
		if form != "" && !slices.Contains(list, form) {
			list = append(list, form)
		}
	}
	add(text)
	for _, part := range parts(text) {
		add(part)
		for _, f := range encodings([]byte(part)) {
			add(string(f))
		}
	}
	return list
}

// parts are what of a text is looked for: the whole, or each of its lines that tells it from others.
func parts(text string) (list []string) {
	if !strings.ContainsAny(strings.TrimRight(text, "\r\n"), "\r\n") {
		return []string{strings.TrimRight(text, "\r\n")}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if len(line) >= Shortest && !strings.HasPrefix(line, "-----") && !slices.Contains(list, line) { // the frame of PEM
			list = append(list, line)
		}
	}
	if len(list) == 0 {
		return []string{text}
	}
	return list
}

// encodings are a text in hexadecimal digits and base64.
func encodings(text []byte) (list [][]byte) {
	lower := hex.EncodeToString(text)
	list = append(list, []byte(lower))
	if upper := strings.ToUpper(lower); upper != lower {
		list = append(list, []byte(upper))
	}
	for at := range 3 {
		plain := aligned(text, at, base64.RawStdEncoding)
		list = append(list, plain)
		if url := aligned(text, at, base64.RawURLEncoding); !bytes.Equal(url, plain) {
			list = append(list, url)
		}
	}
	return list
}

// aligned is what a text contributes to the base64 of something in which it begins so many bytes behind a multiple of three,
// without the digits at both ends that depend on what stands around it.
func aligned(text []byte, at int, encoding *base64.Encoding) []byte {
	padded := append(make([]byte, at), text...)
	digits := encoding.AppendEncode(nil, padded)
	first := (at*8 + 5) / 6
	last := len(padded) * 8 / 6
	return digits[first:last]
}
