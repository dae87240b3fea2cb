package identity

// Trace is what an image has of one row of the table.
type Trace struct {
	Row    string   `json:"row"`
	What   string   `json:"what"`
	Shared bool     `json:"shared"` // whether clones that share it are in each other's way
	Level  Level    `json:"level"`  // from which on os.generalize takes it out; Asked where only "add" does
	How    How      `json:"how"`
	Why    string   `json:"why"`
	Files  []string `json:"files"`
}

// Traces are what a system has of the table, in its order. The error is that of the first file that is there and
// cannot be read.
func (s *System) Traces() (found []Trace, err error) {
	for _, r := range Table {
		if files := s.Find(r); len(files) > 0 {
			found = append(found, Trace{r.Name, r.What, r.Twin, r.Level, r.How, r.Why, files})
		}
	}
	return found, s.Err
}
