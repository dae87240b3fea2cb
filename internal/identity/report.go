package identity

// Trace is what an image has of one row of the table.
type Trace struct {
	Row    string   `json:"row"`
	What   string   `json:"what"`
	Shared bool     `json:"shared"` // whether clones that share it are in each other's way
	Level  Level    `json:"level"`  // from which on os.generalize takes it out; Asked where only "add" does
	How    How      `json:"how"`
	Why    string   `json:"why"`
	Count  int      `json:"count"` // of files and folders
	Files  []string `json:"files"` // the first of them
}

// maxTraced bounds the files that are named for a row: an image may have any number.
const maxTraced = 1000

// Traces are what a system has of the table, in its order. The error is that of the first file that is there and
// cannot be read.
func (s *System) Traces() (found []Trace, err error) {
	for _, r := range Table {
		if files := s.Find(r); len(files) > 0 {
			found = append(found, Trace{r.Name, r.What, r.Twin, r.Level, r.How, r.Why, len(files), files[:min(len(files), maxTraced)]})
		}
	}
	return found, s.Err
}
