import { responseTo, SipCallee } from './udp-callee.ts';

/** Long enough that 180 does not arrive behind the final answer; SIPp takes that for a fault. */
const ringingMs = 20;
const firstIntervalMs = 100;
const longestIntervalMs = 800;

/** What one INVITE has been answered. */
interface Call {
  readonly final: string;
  timer: NodeJS.Timeout | undefined;
}

export interface PatientCalleeOptions {
  /** The final status of every INVITE; 200 when not given. */
  status?: number;
  /** Contact of a 200, where it is not the callee's own: a relay before it. */
  contact?: string;
}

/**
 * A callee that lives with a bad network: it answers 180 and a final status, repeats the final one until the ACK comes, and
 * answers whatever comes twice twice. SIPp as a callee gives a call up when both its answers were lost and INVITE comes again.
 */
export class PatientCallee {
  readonly callee: SipCallee;
  readonly #calls = new Map<string, Call>();
  /** The transactions of a Call-ID. */
  readonly #keys = new Map<string, string[]>();

  private constructor(callee: SipCallee, { status = 200, contact = '' }: PatientCalleeOptions) {
    this.callee = callee;
    callee.on('BYE', [200]).on('OPTIONS', [200]);
    callee.on('INVITE', (request) => {
      // Via has the branch: another attempt of the same call is another transaction.
      const key = request.header('via');
      const known = this.#calls.get(key);
      if (known) {
        callee.send(known.final, request);
        return;
      }
      const answer = { toTag: `${callee.tag}-${this.#calls.size}`, ...(contact && status < 300 ? { contact } : {}) };
      callee.answer(request, 180, answer);
      const own = status < 300 ? { contact: `<${callee.uri}>` } : {};
      const call: Call = { final: responseTo(request, status, { ...own, ...answer }), timer: undefined };
      this.#calls.set(key, call);
      const callId = request.header('call-id');
      this.#keys.set(callId, [...(this.#keys.get(callId) ?? []), key]);
      const repeat = (afterMs: number, intervalMs: number): void => {
        call.timer = setTimeout(() => {
          callee.send(call.final, request);
          repeat(intervalMs, Math.min(intervalMs * 2, longestIntervalMs));
        }, afterMs);
      };
      repeat(ringingMs, firstIntervalMs);
    });
    callee.on('ACK', (ack) => {
      for (const key of this.#keys.get(ack.header('call-id')) ?? []) this.#stop(key);
    });
  }

  static async open(options: PatientCalleeOptions = {}): Promise<PatientCallee> {
    return new PatientCallee(await SipCallee.open(), options);
  }

  get port(): number {
    return this.callee.port;
  }

  /** Calls whose final answer is still being repeated. */
  get waiting(): number {
    return [...this.#calls.values()].filter(({ timer }) => timer !== undefined).length;
  }

  async close(): Promise<void> {
    for (const key of this.#calls.keys()) this.#stop(key);
    await this.callee.close();
  }

  #stop(key: string): void {
    const call = this.#calls.get(key);
    if (!call) return;
    clearTimeout(call.timer);
    call.timer = undefined;
  }
}
