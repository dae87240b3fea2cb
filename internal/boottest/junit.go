package boottest

import (
	"encoding/xml"
	"fmt"
)

// The elements of JUnit's report, as the Jenkins plugin's schema names them. Characters that XML forbids are replaced by
// U+FFFD.
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite  `xml:"testsuite"`
	}
	suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testCase `xml:"testcase"`
		Console  string     `xml:"system-out"`
	}
	testCase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *message `xml:"failure"`
		Skipped *message `xml:"skipped"`
	}
	message struct {
		Text string `xml:"message,attr"`
	}
)

// JUnit is reports in JUnit's form of XML, a suite for each image. A check that was not made is skipped there.
func JUnit(reports []*Report) ([]byte, error) {
	var all suites
	for _, r := range reports {
		s := suite{Name: r.Image, Tests: len(r.Checks), Time: fmt.Sprintf("%.3f", r.Seconds), Console: string(r.Console)}
		for _, c := range r.Checks {
			t := testCase{Name: c.Name, Class: fmt.Sprintf("boot %d", c.Boot)}
			switch c.Result {
			case Failed:
				s.Failures++
				t.Failure = &message{c.Text}
			case NotRun:
				s.Skipped++
				t.Skipped = &message{c.Text}
			}
			s.Cases = append(s.Cases, t)
		}
		all.Suites = append(all.Suites, s)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
