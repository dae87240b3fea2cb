package fault

import "os"

// Scenarios are the kinds of runs that are tortured. Each must succeed when it is left alone.
var Scenarios = scenarios()

func scenarios() []Scenario {
	list := []Scenario{
		{Name: "demo on Debian", Base: "debian12-efi", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "deb"},
		{Name: "demo on Azure Linux-like", Base: "azl3", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "rpm"},
	}
	if os.Getenv("FULL") != "" { // whose runs take long
		list = append(list, Scenario{Name: "LiveOS", Base: "debian12-live", Config: "iso: {persistence: {label: changes}}\n", Outputs: []string{"iso", "pxe-tar"}})
	}
	return list
}
