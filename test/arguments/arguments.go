// Package arguments has kernel arguments that are hard to write down.
package arguments

import "math/rand/v2"

// Awkward are arguments that a careless writer loses or changes, and that every carrier but boot
// entries under GRUB can carry.
var Awkward = []string{
	"plain=1", "dyndbg=file drivers/x.c +p", "memmap=10M$1G", "semi;colon", "x=`id`", "#no", "a{b}", "pipe|and&",
	"<in>", "two  spaces", "glob=*?[a]", "unit=dev-disk\\x2dby", "tilde=~", "bang=!", "eq=a=b", "paren=(hd0)", "${x}", "k=", "$(id)", "percent=%s",
}

// Random makes an argument from characters that mean something to a shell, GRUB or the kernel.
func Random(r *rand.Rand) string {
	const alphabet = `abx019=-_,.:/ $` + "`" + `;|&<>(){}[]#*?!~%^@+'"\`
	arg := "k=" // a name of its own, so that arguments do not depend on each other
	for range 1 + r.IntN(12) {
		arg += string(alphabet[r.IntN(len(alphabet))])
	}
	return arg
}
