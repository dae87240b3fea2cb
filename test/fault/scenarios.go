package fault

// Scenarios are the kinds of runs that are tortured. Each must succeed when it is left alone.
var Scenarios = []Scenario{
	{Name: "demo on Debian", Base: "debian12-efi", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "deb"},
	{Name: "demo on Azure Linux-like", Base: "azl3", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "rpm"},
}
