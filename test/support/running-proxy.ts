import { startProxy } from 'sip-async';
import type { Proxy, ProxySettings, ProxyStats } from 'sip-async';
import { afterAll, beforeAll, expect } from 'vitest';
import { eventually } from './eventually.ts';
import { ProxyFile } from './proxy-file.ts';
import type { SipMessage } from './sip-message.ts';
import { SipClient } from './udp-client.ts';
import type { Transaction, TransactionOptions } from './udp-client.ts';

export interface RunningProxyOptions {
  /** Code of the module in front of its definition. */
  prelude?: string;
  overrides?: ProxySettings;
}

/** Where the client of a proxy without sockets sends: the discard port. */
const nowhere = { port: 9 };

/** Shorter than the default, so that a test can wait for the end; long enough that a busy machine repeats what it means to. */
export const waitTimerMs = 1000;

/** The module's text: what its routes commonly need stands in front of the definition. */
export function proxySource(definition: string, prelude = ''): string {
  return [
    "import { existsSync } from 'node:fs';",
    "import { threadId } from 'node:worker_threads';",
    "import { defineProxy } from 'sip-async';",
    prelude,
    `export default defineProxy({\n${definition}\n});`,
    // Every module has these, and not every module uses them.
    'void existsSync, threadId;',
    '',
  ].join('\n');
}

/** A proxy in this process with a client on a socket of its own. */
export class RunningProxy {
  readonly file: ProxyFile;
  readonly #overrides: ProxySettings;
  #running: { proxy: Proxy; client: SipClient } | undefined;

  constructor(definition: string, { prelude, overrides = {} }: RunningProxyOptions = {}) {
    this.file = new ProxyFile(proxySource(definition, prelude));
    this.#overrides = {
      listen: 'udp:127.0.0.1:0',
      ...overrides,
      modparam: { ...overrides.modparam, tm: { wt_timer: waitTimerMs, ...overrides.modparam?.tm } },
    };
  }

  get proxy(): Proxy {
    return this.#started().proxy;
  }
  get client(): SipClient {
    return this.#started().client;
  }
  get stats(): ProxyStats {
    return this.proxy.stats();
  }

  async start(): Promise<void> {
    const proxy = await startProxy(this.file.url, this.#overrides);
    this.#running = { proxy, client: await SipClient.open(proxy.addresses[0] ?? nowhere) };
  }

  async stop(): Promise<void> {
    const { proxy, client } = this.#started();
    await proxy.close({ timeoutMs: 0 });
    await client.close();
    this.file.remove();
  }

  /** Sends a request and waits for its final response, which is acknowledged. */
  ask(options: TransactionOptions): Promise<SipMessage> {
    return this.client.request({ autoAck: true, ...options }).final();
  }

  /**
   * Makes an INVITE that is to get no 100. The stand-in sends one by itself when this process was too busy to read its
   * socket for some ms, so a few are made; a 100 that the proxy sends for the call comes with every one.
   */
  async inviteWithoutTrying(options: TransactionOptions): Promise<{ call: Transaction; made: number }> {
    for (let made = 1; ; made += 1) {
      const call = this.client.request({ autoAck: true, ...options });
      await call.final();
      if (made === 20 || call.responses.every((response) => response.status !== 100)) return { call, made };
    }
  }

  /** Resolves when the proxy has read all that was sent before, and the client all that was answered at once. */
  async settle(): Promise<void> {
    await this.client.request({ method: 'OPTIONS', user: 'settle' }).final();
  }

  #started(): { proxy: Proxy; client: SipClient } {
    if (!this.#running) throw new Error('the proxy does not run');
    return this.#running;
  }
}

/** Starts a proxy for all tests of a `describe` block. */
export function useProxy(definition: string, options?: RunningProxyOptions): RunningProxy {
  const running = new RunningProxy(definition, options);
  beforeAll(() => running.start());
  afterAll(() => running.stop());
  return running;
}

/** Everything that counts live things. */
export function liveCounters({ transactions, tasks, operations, timers, groups, memory }: ProxyStats): Record<string, number> {
  return {
    active: transactions.active,
    suspended: transactions.suspended,
    inScript: transactions.inScript,
    tasks: tasks.active,
    operations: operations.pending,
    timersPending: timers.pending,
    slotsInUse: memory.slotsInUse,
    payloadBlocks: memory.payloadBlocks,
    queued: Object.values(groups).reduce((sum, group) => sum + group.queued, 0),
  };
}

/** Waits until no call is left in the proxy; what answers repetitions of what was sent on may be. */
export async function callsEnd(proxy: Proxy, timeoutMs = 10_000): Promise<void> {
  await eventually(
    () => {
      const counters = { ...liveCounters(proxy.stats()), slotsInUse: 0, payloadBlocks: 0 };
      expect(counters).toEqual(Object.fromEntries(Object.keys(counters).map((name) => [name, 0])));
      return true;
    },
    { timeoutMs },
  );
}

/** Waits until nothing is alive in the proxy; fails with what is left. */
export async function becomesIdle(proxy: Proxy, timeoutMs = 10_000): Promise<void> {
  await eventually(
    () => {
      const counters = liveCounters(proxy.stats());
      const zero = Object.fromEntries(Object.keys(counters).map((name) => [name, 0]));
      expect(counters).toEqual(zero);
      return true;
    },
    { timeoutMs },
  );
}
