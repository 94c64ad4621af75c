import { startProxy } from 'sip-async';
import type { Proxy, ProxySettings, ProxyStats, TmParams } from 'sip-async';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { eventually } from './eventually.ts';
import { ReferenceProxy } from './reference-proxy.ts';
import { becomesIdle, liveCounters, waitTimerMs } from './running-proxy.ts';
import type { SipMessage } from './sip-message.ts';
import { SipCallee } from './udp-callee.ts';
import { SipClient } from './udp-client.ts';
import type { Transaction, TransactionOptions } from './udp-client.ts';

const module = new URL('../fixtures/relay.proxy.mjs', import.meta.url);

/**
 * `SIP_ASYNC_REFERENCE=kamailio` puts Kamailio in the place of the proxy, which tells a test that asks too much from a
 * proxy that does too little.
 */
export const withReference = process.env['SIP_ASYNC_REFERENCE'] === 'kamailio';

/**
 * Waits until no call is left in the proxy. What was sent on for an INVITE stays 64 times T1 to answer what comes again
 * (timers D and M), so slots and memory are looked at when all tests of a block are over.
 */
export async function callsEnd(proxy: Proxy): Promise<void> {
  await eventually(() => {
    const { active, suspended, inScript, tasks, timersPending, queued } = liveCounters(proxy.stats());
    expect({ active, suspended, inScript, tasks, timersPending, queued }).toEqual({
      active: 0, suspended: 0, inScript: 0, tasks: 0, timersPending: 0, queued: 0,
    });
    return true;
  });
}

/** The proxy that a relay test talks to, with the scripts of test/fixtures/relay.proxy.mjs. */
export class RelayProxy {
  readonly #ours: Proxy | undefined;
  readonly #reference: ReferenceProxy | undefined;

  private constructor(ours: Proxy | undefined, reference: ReferenceProxy | undefined) {
    this.#ours = ours;
    this.#reference = reference;
  }

  static async start(given: TmParams = {}, reference = withReference, settings: ProxySettings = {}): Promise<RelayProxy> {
    const tm = { wt_timer: waitTimerMs, retr_timer1: 100, retr_timer2: 400, ...given };
    if (reference) return new RelayProxy(undefined, await ReferenceProxy.start(tm));
    return new RelayProxy(await startProxy(module, { ...settings, modparam: { tm } }), undefined);
  }

  get port(): number {
    return this.#reference?.port ?? this.#ours!.addresses[0]!.port;
  }

  /** Statistics; `undefined` of the reference, which counts differently. */
  get stats(): ProxyStats | undefined {
    return this.#ours?.stats();
  }

  /** Waits until no call is left; see {@link callsEnd}. */
  async callsEnd(): Promise<void> {
    if (this.#ours) await callsEnd(this.#ours);
  }

  /** Waits until nothing is alive in the proxy, which is 64 times T1 after the last INVITE. */
  async becomesIdle(timeoutMs = 15_000): Promise<void> {
    if (this.#ours) await becomesIdle(this.#ours, timeoutMs);
  }

  async stop(): Promise<void> {
    await this.#ours?.close({ timeoutMs: 0 });
    await this.#reference?.stop();
  }
}

/** A caller, a proxy and three callees. */
export class RelayScene {
  readonly #tm: TmParams;
  #parts: { proxy: RelayProxy; client: SipClient } | undefined;
  #callees: SipCallee[] = [];

  constructor(tm: TmParams) {
    this.#tm = tm;
  }

  get proxy(): RelayProxy {
    return this.#started.proxy;
  }
  get client(): SipClient {
    return this.#started.client;
  }
  get callees(): readonly SipCallee[] {
    return this.#callees;
  }
  /** The first callee, which most calls go to. */
  get callee(): SipCallee {
    return this.callees[0]!;
  }

  async start(): Promise<void> {
    const proxy = await RelayProxy.start(this.#tm);
    this.#parts = { proxy, client: await SipClient.open({ port: proxy.port }) };
  }

  /** Callees of its own for each test: what is still on its way from the test before finds nobody. */
  async openCallees(): Promise<void> {
    this.#callees = await Promise.all([SipCallee.open(), SipCallee.open(), SipCallee.open()]);
  }
  async closeCallees(): Promise<void> {
    await Promise.all(this.#callees.splice(0).map((callee) => callee.close()));
  }

  async stop(): Promise<void> {
    const { proxy, client } = this.#started;
    await proxy.stop();
    await client.close();
  }

  /**
   * Sends a request that the script `user` relays, with the callees named in the headers that the scripts read. Finals are
   * acknowledged unless `autoAck` is false.
   */
  call(user = 'relay', options: TransactionOptions = {}): Transaction {
    const headers = targetHeaders(this.callees.slice(0, user.startsWith('three-') ? 3 : 2));
    return this.client.request({
      user: user.replace('three-', ''), autoAck: true, ...options, headers: [...headers, ...(options.headers ?? [])],
    });
  }

  /** Resolves when the proxy has dealt with what the caller sent before, as far as it deals with it at once. */
  async settle(): Promise<void> {
    await this.client.request({ method: 'OPTIONS', user: 'settle' }).final();
  }

  get #started(): { proxy: RelayProxy; client: SipClient } {
    if (!this.#parts) throw new Error('the proxy does not run');
    return this.#parts;
  }
}

/** Starts a scene for all tests of a `describe` block. */
export function useRelay(tm: TmParams = {}): RelayScene {
  const scene = new RelayScene(tm);
  beforeAll(() => scene.start());
  beforeEach(() => scene.openCallees());
  afterEach(() => scene.closeCallees());
  afterAll(async () => {
    try {
      await scene.proxy.becomesIdle();
    } finally {
      await scene.stop();
    }
  });
  return scene;
}

/** Callees of its own for each test of a `describe` block whose proxy has a script of its own. */
export function useCallees(count = 2): readonly SipCallee[] {
  const callees: SipCallee[] = [];
  beforeEach(async () => {
    callees.push(...(await Promise.all(Array.from({ length: count }, () => SipCallee.open()))));
  });
  afterEach(async () => {
    await Promise.all(callees.splice(0).map((callee) => callee.close()));
  });
  return callees;
}

/** Header lines that name the callees to the scripts. */
export function targetHeaders(callees: readonly SipCallee[]): string[] {
  const names = ['X-To', 'X-Then', 'X-Third'];
  return callees.map((callee, i) => `${names[i]}: ${callee.uri}`);
}

/** What a call was answered, without the repetitions of a refusal: a proxy sends one until it gets the ACK. */
function responsesOf({ responses }: Transaction): SipMessage[] {
  return responses.filter(
    ({ status, raw }, i) => status < 300 || responses.findIndex((other) => other.raw === raw) === i,
  );
}

/** The final responses of a call, each refusal once; every 2xx counts. */
export const finalsOf = (call: Transaction): SipMessage[] => responsesOf(call).filter(({ status }) => status >= 200);

/** The statuses of a call in the order of arrival, each refusal once. */
export const statusesOf = (call: Transaction): number[] => responsesOf(call).map(({ status }) => status);
