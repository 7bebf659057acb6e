package obs

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"proofroom/internal/base/id"
)

// RequestIDHeader is the header that names a request, in both directions.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// WithRequestID returns a context that belongs to the request rid.
func WithRequestID(ctx context.Context, rid string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, rid)
}

// RequestID is the id of the request that ctx belongs to, empty outside one.
func RequestID(ctx context.Context) string {
	rid, _ := ctx.Value(requestIDKey{}).(string)
	return rid
}

type clientKey struct{}

// WithClient returns a context that belongs to a request from an address.
func WithClient(ctx context.Context, addr netip.Addr) context.Context {
	return context.WithValue(ctx, clientKey{}, addr)
}

// Client is the address that the request of ctx came from, as [Proxies.Client]
// finds it; the zero address outside a request.
func Client(ctx context.Context) netip.Addr {
	addr, _ := ctx.Value(clientKey{}).(netip.Addr)
	return addr
}

// NewRequestID makes an id of 20 hexadecimal digits.
func NewRequestID() string { return id.Short(20) }

// saneRequestID bounds what a proxy may write into our log lines and answers.
func saneRequestID(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Proxies are the networks whose forwarding headers are believed.
type Proxies []netip.Prefix

// ParseProxies reads networks ("10.0.0.0/8") and single addresses.
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, s := range list {
		if addr, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is neither an address nor a network like 10.0.0.0/8", s)
		}
		// Addresses of version 4 that are written as version 6 are compared as what
		// they are.
		if addr := p.Addr(); addr.Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("trusted proxy %q is larger than all of version 4: write it as a network of version 6", s)
			}
			p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// FromProxy reports whether r came through a trusted proxy.
func (p Proxies) FromProxy(r *http.Request) bool { return p.trust(peer(r)) }

// Client is the address that r came from: the peer, or behind trusted proxies
// the last address in X-Forwarded-For that is not one of them. Whatever stands
// further left was written by strangers. The zero address means unknown.
func (p Proxies) Client(r *http.Request) netip.Addr {
	addr := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr
		}
		addr = next.Unmap().WithZone("") // a zone means nothing elsewhere
	}
	return addr
}

func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
