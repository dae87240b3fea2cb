//go:build !amd64 && !386

package main

const sysIopl = ^uintptr(0) // there is no such call
