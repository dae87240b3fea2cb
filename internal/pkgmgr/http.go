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

// Silence is how long a server may say nothing.
var Silence = 20 * time.Second

// HTTPStatus is an answer other than 200.
type HTTPStatus int

func (s HTTPStatus) Error() string {
	return fmt.Sprintf("the server answered %d %s", int(s), http.StatusText(int(s)))
}

// NewClient returns a client that waits for a server only as long as that says something.
func NewClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return impatient{c}, nil
		},
		TLSHandshakeTimeout: Silence, ResponseHeaderTimeout: Silence, MaxResponseHeaderBytes: 1 << 20,
		DisableCompression: true, MaxIdleConnsPerHost: 4,
	}}
}

// impatient is a connection on which nothing may take longer than Silence.
type impatient struct{ net.Conn }

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(Silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Get asks for a file. The caller closes it.
func Get(ctx context.Context, c *http.Client, address string) (io.ReadCloser, http.Header, error) {
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
		return nil, nil, fmt.Errorf("%s: %w", ShownURL(address), HTTPStatus(resp.StatusCode))
	}
	return resp.Body, resp.Header, nil
}

// ShownURL is an address as it may be shown: without a password.
func ShownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(an address that cannot be read)"
	}
	return u.Redacted()
}
