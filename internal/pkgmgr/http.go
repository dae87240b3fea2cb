package pkgmgr

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// silence is how long a server may say nothing.
var silence = 30 * time.Second

// httpStatus is an answer other than 200.
type httpStatus int

func (s httpStatus) Error() string {
	return fmt.Sprintf("the server answered %d %s", int(s), http.StatusText(int(s)))
}

// newClient returns a client that waits for a server only as long as that says something.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return impatient{c}, nil
		},
		TLSHandshakeTimeout: silence, ResponseHeaderTimeout: silence, MaxResponseHeaderBytes: 1 << 20,
		DisableCompression: true, MaxIdleConnsPerHost: 4,
	}}
}

// impatient is a connection on which nothing may take longer than silence.
type impatient struct{ net.Conn }

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// get asks for a file. The caller closes it.
func get(ctx context.Context, c *http.Client, address string) (io.ReadCloser, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, nil, fmt.Errorf("%s: %w", shownURL(address), httpStatus(resp.StatusCode))
	}
	return resp.Body, resp.Header, nil
}

// shownURL is an address as it may be shown: without a password.
func shownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(an address that cannot be read)"
	}
	return u.Redacted()
}
