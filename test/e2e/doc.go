// Package e2e runs the program itself on real base images and looks at what comes out: in files, on
// the terminal, and in the booted system.
package e2e
