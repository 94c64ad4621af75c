import { describe, expect, it } from 'vitest';
import { parseListen } from '../dist/config/listen.js';

describe('parseListen', () => {
  it.each([
    ['udp:127.0.0.1:5060', '127.0.0.1', 5060],
    ['udp:0.0.0.0:0', '0.0.0.0', 0],
    ['udp:[::1]:5062', '::1', 5062],
    ['udp:[2001:db8::7]:65535', '2001:db8::7', 65535],
    ['udp:[fe80::1%eth0]:5060', 'fe80::1%eth0', 5060],
    ['udp:localhost:5060', 'localhost', 5060],
    ['udp:sip-1.example.org:5060', 'sip-1.example.org', 5060],
    ['UDP:127.0.0.1:5060', '127.0.0.1', 5060],
  ])('reads %s', (text, host, port) => {
    expect(parseListen(text)).toEqual({ transport: 'udp', host, port });
  });

  it.each(['udp', 'tcp', 'tls', 'ws', 'wss', 'TCP', 'Wss'])('knows %s', (transport) => {
    const address = { transport: transport.toLowerCase(), host: '127.0.0.1', port: 5060 };
    expect(parseListen(`${transport}:127.0.0.1:5060`)).toEqual(address);
    expect(parseListen(`${transport}:::1:5060`)).toBe(
      `an IPv6 address stands in brackets: ${transport.toLowerCase()}:[::1]:5060`,
    );
  });

  it.each([
    ['upd:127.0.0.1:5060', 'unknown transport upd in "upd:127.0.0.1:5060", did you mean udp?'],
    ['tpc:127.0.0.1:5060', 'unknown transport tpc in "tpc:127.0.0.1:5060", did you mean tcp?'],
    ['wsss:127.0.0.1:5060', 'unknown transport wsss in "wsss:127.0.0.1:5060", did you mean wss?'],
    ['sctp:127.0.0.1:5060', /^unknown transport sctp/],
    ['udp:::1:5060', 'an IPv6 address stands in brackets: udp:[::1]:5060'],
    ['udp:127.0.0.1:65536', 'expected a port from 0 to 65535, got 65536'],
    ['udp:127.0.0.1:99999999999999999999', 'expected a port from 0 to 65535, got 99999999999999999999'],
    ['udp:300.1.1.1:5060', 'expected a host name or an IP address, got the string "300.1.1.1"'],
    ['udp:1.2.3:5060', /host name or an IP address/],
    ['udp:[127.0.0.1]:5060', /host name or an IP address/],
    ['udp:[::g]:5060', /host name or an IP address/],
    ['udp:-bad-:5060', /host name or an IP address/],
    ['udp:a b:5060', /host name or an IP address/],
    ['udp::5060', /host name or an IP address/],
    [`udp:${'a.'.repeat(130)}a:5060`, /host name or an IP address/],
    ['udp:127.0.0.1', /^expected an address as 'udp:127\.0\.0\.1:5060'/],
    ['udp:127.0.0.1:', /^expected an address/],
    ['udp:127.0.0.1:-1', /^expected an address/],
    ['udp:127.0.0.1:5060 ', /^expected an address/],
    ['127.0.0.1:5060', /^expected an address/],
    ['', /^expected an address/],
    ['udp', /^expected an address/],
    [5060, /^expected an address.*got 5060$/],
    [null, /^expected an address.*got null$/],
  ])('refuses %o', (input, text) => {
    expect(parseListen(input)).toMatch(text);
  });

  it('is not slow on a long hostile host', () => {
    const begin = process.hrtime.bigint();
    expect(parseListen(`udp:${'a-'.repeat(50_000)}:5060`)).toBeTypeOf('string');
    expect(parseListen(`udp:${'-'.repeat(252)}.:5060`)).toBeTypeOf('string');
    expect(Number(process.hrtime.bigint() - begin) / 1e6).toBeLessThan(1000);
  });
});
