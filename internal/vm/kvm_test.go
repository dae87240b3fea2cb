package vm

import (
	"testing"
	"time"
)

// The same program ends QEMU with emulation, so a "no" for KVM is KVM's fault.
func TestTrialBootReachesTheBootSector(t *testing.T) {
	t.Parallel()
	if !trialBoot(t.Context(), "tcg", "max") {
		t.Error("the boot sector was not reached with emulation")
	}
	if trialBoot(t.Context(), "no-such-accelerator", "max") {
		t.Error("an impossible trial succeeded")
	}
}

func TestKVMIsTriedOnce(t *testing.T) {
	t.Parallel()
	first := kvmWorks(t.Context())
	start := time.Now()
	if kvmWorks(t.Context()) != first {
		t.Error("two answers")
	}
	if d := time.Since(start); d > trialTime/10 {
		t.Errorf("the second answer took %v: tried again", d)
	}
	t.Logf("KVM works: %v", first)
}
