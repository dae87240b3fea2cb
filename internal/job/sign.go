package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"imagecustomizer/internal/signing"
)

// Announced is what a worker will ask signatures for: objects of one kind, at one path or at those that a pattern
// matches (path.Match). It says so once, before a program of the image has run.
type Announced struct {
	Kind  string
	Path  string
	Count int
}

// Ask asks the supervisor for a signature.
type Ask struct {
	ID   int
	Kind string
	Path string // in the image

	// A program lies in the file with the role ToSign.
	At, Size int64
	// What is no program is in the question itself.
	Content []byte
}

// Answer is the supervisor's answer: a signature in DER, or why there is none.
type Answer struct {
	ID        int
	Signature []byte
	Error     string
}

// Signer answers for the supervisor. It may be asked from several goroutines at once.
type Signer interface {
	Announce(list []Announced) error
	Sign(ctx context.Context, a *Ask) ([]byte, error)
}

// Signing is what a worker knows of signing: no keys.
type Signing struct {
	SecureBoot *signing.Policy // nil where no programs are signed
}

// answers waits in the worker for what the supervisor says.
type answers struct {
	mu      sync.Mutex
	next    int
	waiting map[int]chan Answer
	closed  bool
}

// read passes answers on until there are no more.
func (a *answers) read(dec *json.Decoder) {
	for {
		var got Answer
		if err := dec.Decode(&got); err != nil {
			break
		}
		a.mu.Lock()
		if c := a.waiting[got.ID]; c != nil {
			c <- got
			delete(a.waiting, got.ID)
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, c := range a.waiting {
		close(c)
	}
	a.waiting = nil
}

// errNoAnswer is a question that nobody is left to answer.
var errNoAnswer = errors.New("the signature was not made: the run is being ended")

func (a *answers) expect() (id int, c chan Answer, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, nil, errNoAnswer
	}
	a.next++
	c = make(chan Answer, 1)
	if a.waiting == nil {
		a.waiting = map[int]chan Answer{}
	}
	a.waiting[a.next] = c
	return a.next, c, nil
}

// Ask asks for a signature and waits for it.
func (s *Sender) Ask(ctx context.Context, q Ask) ([]byte, error) {
	id, c, err := s.answers.expect()
	if err != nil {
		return nil, err
	}
	q.ID = id
	s.send(Message{Ask: &q})
	select {
	case got, ok := <-c:
		switch {
		case !ok:
			return nil, errNoAnswer
		case got.Error != "":
			return nil, errors.New(got.Error)
		}
		return got.Signature, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Announce says what signatures will be asked for.
func (s *Sender) Announce(list []Announced) { s.send(Message{Announce: list}) }

// desk is where the supervisor answers questions.
type desk struct {
	ctx    context.Context
	signer Signer
	mu     sync.Mutex
	out    io.Writer
	asked  sync.WaitGroup
	err    error // the announcement was refused
}

var errNoSigner = errors.New("the worker asks for a signature, but the config asks for none")

func (d *desk) announce(list []Announced) {
	if d.signer == nil {
		d.err = errNoSigner
		return
	}
	d.err = d.signer.Announce(list)
}

func (d *desk) answer(a *Ask) {
	d.asked.Go(func() {
		got := Answer{ID: a.ID}
		var err error
		switch {
		case d.signer == nil:
			err = errNoSigner
		case d.err != nil:
			err = fmt.Errorf("what is to be signed was not announced as it should: %w", d.err)
		default:
			got.Signature, err = d.signer.Sign(d.ctx, a)
		}
		if err != nil {
			got.Error = err.Error()
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		_ = json.NewEncoder(d.out).Encode(got) // a worker that is gone needs no answer
	})
}
