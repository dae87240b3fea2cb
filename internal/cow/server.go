package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Requests of the kernel (linux/fuse.h).
const (
	opGetattr   = 3
	opSetattr   = 4
	opForget    = 2
	opOpen      = 14
	opRead      = 15
	opWrite     = 16
	opStatfs    = 17
	opRelease   = 18
	opFsync     = 20
	opInit      = 26
	opInterrupt = 36
	opDestroy   = 38
	opForgetAll = 42
	opFallocate = 43
	opLseek     = 46
)

const (
	headerIn  = 40
	headerOut = 16
	maxWrite  = 128 << 10 // what the kernel sends and asks for at once
)

var order = binary.LittleEndian // the processors this program is made for have no other

// server answers the kernel's requests for the one file, one after the other.
type server struct {
	fuse *os.File
	size int64 // of the file
	*blocks
	mapped []byte // base: data gets to the kernel from where it lies
	zero   [maxWrite]byte
}

// serve answers requests until the file has no user any more.
func (s *server) serve() error {
	request := make([]byte, maxWrite+block)
	for {
		n, err := unix.Read(int(s.fuse.Fd()), request)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT): // taken back
			continue
		case errors.Is(err, unix.ENODEV):
			return nil
		case err != nil:
			return err
		}
		if n < headerIn {
			return io.ErrUnexpectedEOF
		}
		if err := s.answer(request[:n]); err != nil && !errors.Is(err, unix.ENOENT) { // who asked was killed
			return err
		}
	}
}

func (s *server) answer(request []byte) error {
	op, id, body := order.Uint32(request[4:]), order.Uint64(request[8:]), request[headerIn:]
	switch op {
	case opForget, opForgetAll, opInterrupt:
		return nil
	case opRead:
		parts, err := s.read(body)
		err = s.reply(id, err, parts...)
		if errors.Is(err, unix.EFAULT) { // base cannot be read there
			err = s.reply(id, unix.EIO)
		}
		return err
	}
	reply, err := s.do(op, body)
	return s.reply(id, err, reply)
}

// do carries out a request and returns the body of the reply.
func (s *server) do(op uint32, body []byte) ([]byte, error) {
	switch op {
	case opInit:
		return initReply(), nil
	case opGetattr:
		return s.attributes(), nil
	case opSetattr:
		return s.setattr(body)
	case opOpen:
		const keepCache = 1 << 1
		return order.AppendUint64(make([]byte, 8), keepCache), nil
	case opWrite:
		return s.write(body)
	case opStatfs:
		return statfs(), nil
	case opRelease, opFsync, opDestroy: // the file is gone with its users
		return nil, nil
	case opFallocate:
		return nil, s.fallocate(body)
	case opLseek:
		const data = 3
		at, err := s.seek(int64(order.Uint64(body[8:])), s.size, order.Uint32(body[16:]) == data)
		return order.AppendUint64(nil, uint64(at)), err
	}
	return nil, unix.ENOSYS
}

// reply sends a body in one or more parts, or an error.
func (s *server) reply(id uint64, err error, body ...[]byte) error {
	code, size := uint32(0), headerOut
	if err != nil {
		code, body = uint32(-int32(errno(err))), nil
	}
	for _, b := range body {
		size += len(b)
	}
	head := order.AppendUint32(nil, uint32(size))
	head = order.AppendUint64(order.AppendUint32(head, code), id)
	_, err = unix.Writev(int(s.fuse.Fd()), append([][]byte{head}, body...))
	return err
}

func errno(err error) unix.Errno {
	if e, ok := errors.AsType[unix.Errno](err); ok {
		return e
	}
	return unix.EIO
}

func initReply() []byte {
	const asyncRead, bigWrites = 1 << 0, 1 << 5
	b := make([]byte, 64)
	order.PutUint32(b, 7)
	order.PutUint32(b[4:], 31)
	order.PutUint32(b[8:], maxWrite) // read ahead
	order.PutUint32(b[12:], asyncRead|bigWrites)
	order.PutUint16(b[16:], 16) // requests in the background
	order.PutUint16(b[18:], 12)
	order.PutUint32(b[20:], maxWrite)
	order.PutUint32(b[24:], 1)
	return b
}

// attributes are those of the file, which only we change.
func (s *server) attributes() []byte {
	b := make([]byte, 16+88)
	order.PutUint64(b, 1<<30) // seconds that they stay true
	a := b[16:]
	order.PutUint64(a, 1) // inode
	order.PutUint64(a[8:], uint64(s.size))
	order.PutUint64(a[16:], uint64(s.size/512))
	order.PutUint32(a[60:], unix.S_IFREG|0o600)
	order.PutUint32(a[64:], 1) // links
	order.PutUint32(a[80:], block)
	return b
}

func statfs() []byte {
	b := make([]byte, 80)
	order.PutUint32(b[40:], block)
	order.PutUint32(b[44:], 255) // longest name
	order.PutUint32(b[48:], block)
	return b
}

// setattr changes the size; other attributes are of no use here.
func (s *server) setattr(body []byte) ([]byte, error) {
	const size = 1 << 3
	if order.Uint32(body)&size != 0 {
		want := int64(order.Uint64(body[16:]))
		if want > most*block {
			return nil, unix.EFBIG
		}
		if want < s.size {
			if err := s.clear(want, s.size); err != nil {
				return nil, err
			}
		}
		s.size = want
	}
	return s.attributes(), nil
}

func (s *server) fallocate(body []byte) error {
	at, n, mode := int64(order.Uint64(body[8:])), int64(order.Uint64(body[16:])), order.Uint32(body[24:])
	switch {
	case mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0:
		return s.clear(at, min(at+n, s.size))
	case mode&^unix.FALLOC_FL_KEEP_SIZE == 0 && at+n <= s.size:
		return nil
	}
	return unix.EOPNOTSUPP
}

// clear makes zeros of a stretch: holes of the blocks that it covers.
func (s *server) clear(at, end int64) error {
	for at < end {
		if at%block != 0 || end-at < block {
			n := min(end, at/block*block+block) - at
			if s.at(at/block) != nowhere {
				if err := s.put(s.zero[:n], at); err != nil {
					return err
				}
			}
			at += n
			continue
		}
		from, stop := s.extent(at, end/block*block)
		if err := s.clearBlocks(from, at, stop); err != nil {
			return err
		}
		at = stop
	}
	return nil
}

// clearBlocks makes holes of blocks that have one source.
func (s *server) clearBlocks(from source, at, end int64) error {
	switch from {
	case nowhere:
		return nil
	case inDelta:
		if err := unix.Fallocate(int(s.delta.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, end-at); err != nil {
			return err
		}
	case inBase: // what is a hole already stays one, and takes no memory
		for at < end {
			data, err := s.seekBase(at, end, true)
			if err != nil || data == end {
				return err
			}
			hole, err := s.seekBase(data, end, false)
			if err != nil {
				return err
			}
			for i := data / block; i*block < hole; i++ {
				s.set(i, nowhere)
			}
			at = (hole + block - 1) / block * block
		}
		return nil
	}
	for i := at / block; i*block < end; i++ {
		s.set(i, nowhere)
	}
	return nil
}

// write takes data for the file. What is all zeros becomes a hole.
func (s *server) write(body []byte) ([]byte, error) {
	const head = 40
	at, data := int64(order.Uint64(body[8:])), body[head:]
	if n := int(order.Uint32(body[16:])); n != len(data) {
		return nil, unix.EIO
	}
	if at+int64(len(data)) > most*block {
		return nil, unix.EFBIG
	}
	for done := 0; done < len(data); {
		n, zeros := s.alike(data[done:], at+int64(done))
		piece, pos := data[done:done+n], at+int64(done)
		var err error
		if zeros {
			err = s.clear(pos, pos+int64(n))
		} else {
			err = s.put(piece, pos)
		}
		if err != nil {
			return nil, err
		}
		done += n
	}
	s.size = max(s.size, at+int64(len(data)))
	return order.AppendUint64(nil, uint64(len(data))), nil
}

// alike is how many bytes from the first on are to be treated alike: blocks that are all zeros, or are not.
func (s *server) alike(data []byte, at int64) (n int, zeros bool) {
	for n < len(data) {
		m := min(len(data)-n, int(block-(at+int64(n))%block))
		z := bytes.Equal(data[n:n+m], s.zero[:m])
		if n > 0 && z != zeros {
			break
		}
		zeros = z
		n += m
	}
	return n, zeros
}

// put writes to delta, with what it needs of the blocks that are not overwritten as a whole.
func (s *server) put(data []byte, at int64) error {
	end := at + int64(len(data))
	for _, edge := range []int64{at, end} {
		if edge%block != 0 {
			if err := s.copyBlock(edge / block); err != nil {
				return err
			}
		}
	}
	if _, err := s.delta.WriteAt(data, at); err != nil {
		return err
	}
	for i := at / block; i*block < end; i++ {
		s.set(i, inDelta)
	}
	return nil
}

// copyBlock brings a block to delta.
func (s *server) copyBlock(i int64) error {
	var b [block]byte
	switch s.at(i) {
	case inDelta:
		return nil
	case inBase:
		if _, err := s.base.ReadAt(b[:], i*block); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if _, err := s.delta.WriteAt(b[:], i*block); err != nil {
		return err
	}
	s.set(i, inDelta)
	return nil
}

// read finds the parts of a stretch.
func (s *server) read(body []byte) (parts [][]byte, err error) {
	at := int64(order.Uint64(body[8:]))
	end := min(at+int64(order.Uint32(body[16:])), s.size)
	for at < end {
		from, stop := s.extent(at, end)
		part := s.zero[:stop-at]
		switch from {
		case inBase:
			part = s.mapped[at:stop]
		case inDelta:
			part = make([]byte, stop-at)
			if _, err := s.delta.ReadAt(part, at); err != nil {
				return nil, err
			}
		}
		parts, at = append(parts, part), stop
	}
	return parts, nil
}
