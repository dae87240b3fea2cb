package job

import (
	"errors"
	"log/slog"
	"os"
	"strings"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/sandbox"
)

// Pipe starts workers in namespaces of their own on this host, and talks to them through pipes.
type Pipe struct{}

// Start starts a worker, which needs root. What the job names it gets, and nothing else of the host.
func (Pipe) Start(j *Job) (Link, error) {
	l := &pipe{}
	spec := sandbox.Spec{Files: j.handed(), Writable: map[string]string{}, Errors: &l.said, Hidden: j.Hidden}
	for _, r := range j.Resources {
		switch {
		case r.Role == Cache:
			spec.Writable[string(Cache)] = r.Path
		case r.Path != "":
			spec.Shown = append(spec.Shown, r.Path)
		}
	}
	var err error
	l.process, err = sandbox.Start(spec)
	if err != nil {
		return nil, &failure.Failure{Code: failure.Host, Err: err}
	}
	return l, nil
}

// pipe is the connection to one worker.
type pipe struct {
	process *sandbox.Process
	said    firstBytes // what it printed, which is nothing unless it could not start
}

func (l *pipe) Write(p []byte) (int, error) { return l.process.In.Write(p) }

func (l *pipe) Read(p []byte) (int, error) { return l.process.Out.Read(p) }

func (l *pipe) Close() error { return l.process.Out.Close() }

func (l *pipe) Cancel() { _ = l.process.In.Close() }

func (l *pipe) Kill() { l.process.Kill() }

func (l *pipe) Wait() error {
	err := l.process.Wait()
	text := strings.TrimSpace(l.said.String())
	switch {
	case strings.Contains(text, sandbox.SetUpFailed):
		return &failure.Failure{Code: failure.Host, Err: errors.New(text)}
	case text != "" && err == nil:
		slog.Warn("the worker said: " + text)
	case text != "":
		return errors.Join(err, errors.New(text))
	}
	return err
}

// File is the open file that a resource hands over, in the worker; nil where the job has none.
func (j *Job) File(name string) *os.File {
	if r := j.resource(name); r != nil && r.Path == "" {
		return sandbox.File(r.File)
	}
	return nil
}

// Of is the open file that has a role, in the worker; nil where none has it.
func (j *Job) Of(role Role) *os.File { return j.File(string(role)) }

// Working is the file of the working disk, or of what differs from the image on it.
func (j *Job) Working() *os.File {
	if j.Has(Changes) {
		return j.Of(Changes)
	}
	return j.Of(Disk)
}
