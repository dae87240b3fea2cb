// Package hostile attacks the program with hostile images; all of it is tests.
package hostile
