import { isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseTarget } from '../dist/transport/sip-uri.js';
import { sequence } from './support/random.ts';

// So long that time which grows with the square of it would be minutes.
const long = 200_000;

const longest = `${`${'a'.repeat(63)}.`.repeat(3)}${'b'.repeat(61)}`;

/** The rows, each with a name that fits into a line. */
function named<T>(rows: readonly (readonly [string, T])[]): [name: string, text: string, expected: T][] {
  return rows.map(([text, expected]) => [text.length < 100 ? text : `${text.slice(0, 20)}...`, text, expected]);
}

describe('parseTarget', () => {
  const plain = { family: 0, port: undefined, transport: undefined, secure: false };
  it.each(named([
    ['sip:example.test', { ...plain, host: 'example.test' }],
    ['SIP:Example.TEST', { ...plain, host: 'example.test' }],
    ['sip:example.test.', { ...plain, host: 'example.test' }],
    ['sip:a', { ...plain, host: 'a' }],
    ['sip', { ...plain, host: 'sip' }],
    ['sip:3cx', { ...plain, host: '3cx' }],
    ['sip:sip_proxy', { ...plain, host: 'sip_proxy' }],
    ['sip:xn--bcher-kva.test', { ...plain, host: 'xn--bcher-kva.test' }],
    ['sip:alice@example.test', { ...plain, host: 'example.test' }],
    ['sip:alice:secret@example.test', { ...plain, host: 'example.test' }],
    ['sip:*21#@example.test', { ...plain, host: 'example.test' }],
    ['sip:a;b?c/d&e=f+g$h,i@example.test', { ...plain, host: 'example.test' }],
    ['sip:%61%6C@example.test', { ...plain, host: 'example.test' }],
    ['sip:+15551234;phone-context=x.test@example.test;user=phone', { ...plain, host: 'example.test' }],
    ['sip:example.test:5070', { ...plain, host: 'example.test', port: 5070 }],
    ['sip:example.test:05070', { ...plain, host: 'example.test', port: 5070 }],
    ['sip:example.test:65535', { ...plain, host: 'example.test', port: 65535 }],
    ['sip:192.0.2.1', { ...plain, host: '192.0.2.1', family: 4 }],
    ['sip:192.0.2.1:5061;lr', { ...plain, host: '192.0.2.1', family: 4, port: 5061 }],
    ['sip:[2001:DB8::1]', { ...plain, host: '2001:db8::1', family: 6 }],
    ['sip:u@[::1]:5070;transport=tcp', { ...plain, host: '::1', family: 6, port: 5070, transport: 'tcp' }],
    ['sip:[::ffff:192.0.2.1]', { ...plain, host: '::ffff:192.0.2.1', family: 6 }],
    ['sip:h.test;transport=UDP', { ...plain, host: 'h.test', transport: 'udp' }],
    ['sip:h.test;Transport=tls', { ...plain, host: 'h.test', transport: 'tls' }],
    ['sip:h.test;transport=ws', { ...plain, host: 'h.test', transport: 'ws' }],
    ['sip:h.test;transport=wss', { ...plain, host: 'h.test', transport: 'wss' }],
    ['sips:h.test', { ...plain, host: 'h.test', secure: true }],
    ['sips:h.test;transport=tcp', { ...plain, host: 'h.test', secure: true, transport: 'tls' }],
    ['sips:h.test;transport=tls', { ...plain, host: 'h.test', secure: true, transport: 'tls' }],
    ['sips:h.test;transport=ws', { ...plain, host: 'h.test', secure: true, transport: 'wss' }],
    ['sip:h.test;maddr=192.0.2.9', { ...plain, host: '192.0.2.9', family: 4 }],
    ['sip:h.test:5070;maddr=[::1];lr', { ...plain, host: '::1', family: 6, port: 5070 }],
    ['sip:h.test;maddr=Other.test', { ...plain, host: 'other.test' }],
    ['sip:h.test;lr;x=%20;y=[a]/b:c&d+e$f?Subject=a%20b&To=c', { ...plain, host: 'h.test' }],
    ['example.test', { ...plain, host: 'example.test' }],
    ['example.test:5070', { ...plain, host: 'example.test', port: 5070 }],
    ['192.0.2.1', { ...plain, host: '192.0.2.1', family: 4 }],
    ['192.0.2.1:5070', { ...plain, host: '192.0.2.1', family: 4, port: 5070 }],
    ['[::1]', { ...plain, host: '::1', family: 6 }],
    ['[::1]:5070', { ...plain, host: '::1', family: 6, port: 5070 }],
    ['udp:192.0.2.1:5070', { ...plain, host: '192.0.2.1', family: 4, port: 5070, transport: 'udp' }],
    ['TCP:h.test', { ...plain, host: 'h.test', transport: 'tcp' }],
    ['tls:[::1]:5070', { ...plain, host: '::1', family: 6, port: 5070, transport: 'tls' }],
    ['wss:h.test:8443', { ...plain, host: 'h.test', port: 8443, transport: 'wss' }],
    [`sip:${'a'.repeat(long)}@h.test`, { ...plain, host: 'h.test' }],
    [`sip:h.test;${'a'.repeat(long)}=b`, { ...plain, host: 'h.test' }],
    [`sip:${longest}`, { ...plain, host: longest }],
  ]))('reads %s', (_name, text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  const malformed = /^(malformed URI|neither a SIP URI nor a host): /;
  it.each(named<RegExp | string>([
    ['', malformed],
    [' ', malformed],
    ['sip:', malformed],
    ['sips:', malformed],
    [':', malformed],
    [':5060', malformed],
    ['@h.test', malformed],
    ['alice@h.test', malformed],
    ['sip:@h.test', malformed],
    ['sip:alice@', malformed],
    ['sip:a@b@h.test', malformed],
    ['sip:al ice@h.test', malformed],
    ['sip: h.test', malformed],
    [' sip:h.test', malformed],
    ['sip:h.test ', malformed],
    ['sip:h.test\r\nVia: x', malformed],
    ['sip:h.test\0', malformed],
    ['sip:\u00fc@h.test', malformed],
    ['sip:b\u00fccher.test', malformed],
    ['b\u00fccher.test', malformed],
    ['sip:\u0130stanbul.test', malformed],
    ['sip:h.test\u3002x', malformed],
    ['<sip:h.test>', malformed],
    ['"x" <sip:h.test>', malformed],
    ['sip:<h.test>', malformed],
    ['sip:%zz@h.test', malformed],
    ['sip:a%4@h.test', malformed],
    ['sip:h%41.test', malformed],
    ['sip:a%@h.test', malformed],
    ['sip:h.test:', malformed],
    ['sip:h.test:0', malformed],
    ['sip:h.test:65536', malformed],
    ['sip:h.test:-1', malformed],
    ['sip:h.test:5e3', malformed],
    ['sip:h.test:0x10', malformed],
    ['sip:h.test:5060:5061', malformed],
    ['sip:h.test:999999999999999999999', malformed],
    ['sip:h.test:٥٠٦٠', malformed],
    ['sip:.', malformed],
    ['sip:..', malformed],
    ['sip:.h.test', malformed],
    ['sip:h..test', malformed],
    ['sip:h.test..', malformed],
    ['sip:-h.test', malformed],
    ['sip:h-.test', malformed],
    ['sip:h.test-', malformed],
    ['sip:h!.test', malformed],
    ['sip:h/test', malformed],
    ['sip://h.test', malformed],
    ['sip:h\\test', malformed],
    ['sip:1.2.3', malformed],
    ['sip:1.2.3.4.5', malformed],
    ['sip:256.1.1.1', malformed],
    ['sip:01.2.3.4', malformed],
    ['sip:127.1', malformed],
    ['sip:2130706433', malformed],
    ['sip:0x7f000001', malformed],
    ['sip:0x7f.0x1', malformed],
    ['sip:h.0x', malformed],
    ['sip:::1', malformed],
    ['sip:2001:db8::1', malformed],
    ['sip:[::1', malformed],
    ['sip:::1]', malformed],
    ['sip:[]', malformed],
    ['sip:[::g]', malformed],
    ['sip:[1::2::3]', malformed],
    ['sip:[192.0.2.1]', malformed],
    ['sip:[fe80::1%eth0]', malformed],
    ['sip:[fe80::1%25eth0]', malformed],
    ['sip:[::1]5060', malformed],
    ['sip:[::1]:', malformed],
    ['sip:[::1]:0', malformed],
    ['sip:[h.test]', malformed],
    ['::1', /stands in brackets/],
    ['udp:::1', /stands in brackets/],
    ['sip:h.test;', malformed],
    ['sip:h.test;;lr', malformed],
    ['sip:h.test;=x', malformed],
    ['sip:h.test;lr=', malformed],
    ['sip:h.test;a=b=c', malformed],
    ['sip:h.test;transport', /unsupported transport ""/],
    ['sip:h.test;transport=', malformed],
    ['sip:h.test;transport=udp;transport=tcp', /"transport" is there twice/],
    ['sip:h.test;transport=udp;TRANSPORT=udp', /"transport" is there twice/],
    ['sip:h.test;transport=sctp', 'unsupported transport "sctp"'],
    ['sip:h.test;transport=%75dp', 'unsupported transport "%75dp"'],
    ['sip:h.test;transport=__proto__', 'unsupported transport "__proto__"'],
    ['sips:h.test;transport=udp', 'a sips URI cannot be reached by udp'],
    ['sip:h.test;maddr', malformed],
    ['sip:h.test;maddr=', malformed],
    ['sip:h.test;maddr=::1', malformed],
    ['sip:h.test;maddr=256.0.0.1', malformed],
    ['sip:h.test;maddr=a:5060', malformed],
    ['sip:h.test;maddr=a;maddr=b', /"maddr" is there twice/],
    ['sip:h.test?', malformed],
    ['sip:h.test?a=b?"', malformed],
    ['sip:h.test?a;b', malformed],
    ['tel:5551234', 'unsupported scheme tel'],
    ['tel:+15551234', 'unsupported scheme tel'],
    ['http://h.test/', 'unsupported scheme http'],
    ['mailto:a@h.test', 'unsupported scheme mailto'],
    ['sctp:h.test:5060', 'unsupported scheme sctp'],
    ['foo:h.test:5060', malformed],
    ['udp:', malformed],
    ['udp:5060', malformed],
    ['udp::5060', malformed],
    ['udp:h.test:', malformed],
    ['udp:alice@h.test', malformed],
    ['udp:h.test;lr', malformed],
    ['udp:tcp:h.test', malformed],
    ['sip:sip:h.test', malformed],
    [`sip:${'a'.repeat(64)}.test`, malformed],
    [`sip:${longest}b`, malformed],
    ['sip:' + 'a'.repeat(long), malformed],
    ['sip:' + 'a.'.repeat(long), malformed],
    ['sip:' + '-'.repeat(long), malformed],
    ['sip:' + '1'.repeat(long), malformed],
    ['sip:' + '1.'.repeat(long), malformed],
    ['sip:[' + ':'.repeat(long) + ']', malformed],
    ['sip:[' + '1:'.repeat(long) + ']', malformed],
    ['sip:' + '['.repeat(long), malformed],
    ['sip:' + '@'.repeat(long), malformed],
    ['sip:' + '%'.repeat(long), malformed],
    ['sip:h.test' + ';'.repeat(long), malformed],
    ['sip:h.test' + ';a'.repeat(long), malformed],
    ['sip:h.test;' + '='.repeat(long), malformed],
    ['sip:h.test' + '?'.repeat(long) + '"', malformed],
    ['sip:h.test:' + '0'.repeat(long), malformed],
    ['a'.repeat(long), malformed],
    ['a'.repeat(long) + ':', malformed],
    [':'.repeat(long), malformed],
    ['udp:'.repeat(long), malformed],
  ]))('refuses %s', (_name, text, why) => {
    const read = parseTarget(text);
    if (typeof why === 'string') expect(read).toBe(why);
    else expect(read).toMatch(why);
    // What is refused is quoted in part only, and in one line.
    expect(read).toMatch(/^[\x20-\x7e\u0080-\uffff]{10,250}$/);
  });

  it('never throws, and lets no host through that DNS or a socket could not take', () => {
    const { seed, next } = sequence();
    const pieces = [
      ...'.:;@?=%[]-_0aA \u00fc\0', '::1', '[::1]', '192.0.2.1', 'h.test', 'sip:', 'sips:', 'udp:', ';transport=', ';maddr=',
      '5060',
    ];
    let read = 0;
    for (let round = 0; round < 100_000; round += 1) {
      const text = Array.from({ length: 1 + next(7) }, () => pieces[next(pieces.length)]).join('');
      const target = parseTarget(text);
      if (typeof target === 'string') continue;
      read += 1;
      const about = `seed ${seed}: ${JSON.stringify(text)}`;
      expect(isIP(target.host), about).toBe(target.family);
      if (target.family === 0) expect(target.host, about).toMatch(/^[a-z\d_]([a-z\d_.-]*[a-z\d_])?$/);
      if (target.port !== undefined) expect(target.port > 0 && target.port < 65_536, about).toBe(true);
    }
    expect(read).toBeGreaterThan(1000);
  });
});
