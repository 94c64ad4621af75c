import { defineProxy, SipAsyncError } from 'sip-async';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { isProxyDefinition } from '../dist/define-proxy.js';
import type { ProxyDefinition } from '../dist/define-proxy.js';

describe('defineProxy', () => {
  it('gives back the very object', () => {
    const definition = { children: 2, requestRoute() {} };
    expect(defineProxy(definition)).toBe(definition);
    expect(Object.keys(definition)).toEqual(['children', 'requestRoute']);
    expect({ ...definition }).toEqual({ children: 2, requestRoute: definition.requestRoute });
  });

  it('can be called twice on one object', () => {
    const definition = defineProxy({ requestRoute() {} });
    expect(defineProxy(definition)).toBe(definition);
  });

  it('takes a frozen object', () => {
    const frozen = Object.freeze({ children: 2, requestRoute() {} });
    const definition = defineProxy(frozen);
    expect(isProxyDefinition(definition)).toBe(true);
    expect(definition.requestRoute).toBe(frozen.requestRoute);
  });

  it.each([undefined, null, 1, 'x', [], () => {}])('refuses %o', (value) => {
    expect(() => defineProxy(value as never)).toThrow(SipAsyncError);
    expect(() => defineProxy(value as never)).toThrow(expect.objectContaining({ code: 'SIPASYNC_ERR_CONFIG' }));
  });

  it('knows the names of the routes by type', () => {
    const definition = defineProxy({
      requestRoute(msg) {
        expectTypeOf(msg.method).toExtend<string>();
      },
      route: { RESUME(msg) { void msg.method; }, async LATER() {} },
    });
    expectTypeOf(definition).toEqualTypeOf<ProxyDefinition<'RESUME' | 'LATER'>>();
    // @ts-expect-error a misspelt key
    defineProxy({ childern: 1, requestRoute() {} });
    // @ts-expect-error no such level
    defineProxy({ log: 'inof', requestRoute() {} });
    // @ts-expect-error a route is a function
    defineProxy({ route: { RESUME: 1 } });
    expect(Object.keys(definition.route ?? {})).toEqual(['RESUME', 'LATER']);
  });
});

describe('isProxyDefinition', () => {
  it('holds for what defineProxy made, in whichever copy of the package', () => {
    expect(isProxyDefinition(defineProxy({}))).toBe(true);
    const mark = Object.getOwnPropertySymbols(defineProxy({}))[0]!;
    expect(Symbol.keyFor(mark)).toBe('sip-async.ProxyDefinition');
  });

  it.each([{}, { requestRoute() {} }, null, undefined, 'x', () => {}, [], Object.create(defineProxy({})), { ...defineProxy({}) }])(
    'does not hold for %o',
    (value: unknown) => {
      expect(isProxyDefinition(value)).toBe(false);
    },
  );
});
