import type { RelayProxy } from './relay-scene.ts';
import { newBranch, token } from './sip-request.ts';
import type { RequestOptions } from './sip-request.ts';
import { SipCallee } from './udp-callee.ts';
import { SipClient } from './udp-client.ts';
import type { Transaction, TransactionOptions } from './udp-client.ts';

/** What one case saw: a name for each message, and its text with everything replaced that differs from run to run. */
export type Seen = Readonly<Record<string, string>>;

/** The parties of one case, and what a case may ask of them. */
interface Stage {
  readonly client: SipClient;
  readonly callees: readonly [SipCallee, SipCallee];
  readonly own: string;
  call(user: string, options?: TransactionOptions): Transaction;
  /** A request within the dialog of a call that the first callee has answered. */
  within(call: Transaction, options: RequestOptions): RequestOptions;
}

type Case = (stage: Stage) => Promise<Record<string, { readonly raw: string } | undefined>>;

const rings = ({ status }: { status: number }): boolean => status === 180;

async function invited(stage: Stage, user: string, status: number, options?: TransactionOptions): ReturnType<Case> {
  const [callee] = stage.callees;
  const call = stage.call(user, options);
  const invite = await callee.request('INVITE');
  callee.answer(invite, status);
  const final = await call.final();
  return { INVITE: invite, final, ...(status >= 300 ? { ACK: await callee.request('ACK') } : {}) };
}

const body = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n';
const headers = ['Subject: lunch', 'Organization: us', 'Supported: timer, 100rel', 'User-Agent: caller/1.0'];
const full = { headers, body, contentType: 'application/sdp' };

/** Every case by name; `INVITE`, `ACK` and so on are what the callee got, the others what the caller got. */
const cases: Readonly<Record<string, Case>> = {
  'plain INVITE, refused': (stage) => invited(stage, 'relay', 486, full),
  'after a suspension': (stage) => invited(stage, 'later', 486, full),
  'Route to the proxy itself': (stage) => invited(stage, 'relay', 486, { headers: [`Route: <sip:${stage.own};lr>`] }),
  'Request-URI changed': (stage) => invited(stage, 'changed', 486),
  'Request-URI changed, then a suspension': (stage) => invited(stage, 'changed-later', 486),
  'headers added and removed': (stage) => invited(stage, 'hf', 486, full),
  'headers added and removed before and after a suspension': (stage) => invited(stage, 'hf-later', 486, full),
  'body replaced': (stage) => invited(stage, 'body', 486, full),
  'body replaced, then a suspension': (stage) => invited(stage, 'body-later', 486, full),
  'body where there was none': (stage) => invited(stage, 'body', 486),
  'reply with a header added': (stage) => invited(stage, 'reply', 486, full),
  'stateless': (stage) => invited(stage, 'stateless', 200, full),

  async 'a dialog: Record-Route, ACK, BYE'(stage) {
    const [callee] = stage.callees;
    const seen = await invited(stage, 'rr', 200, { ...full, autoAck: false });
    const route = `Route: ${callee.of('INVITE')[0]!.header('record-route')}`;
    const call = lastCall(stage);
    stage.client.send(stage.client.build(stage.within(call, { method: 'ACK', cseq: 1, headers: [route] })));
    const ack = await callee.request('ACK');
    callee.on('BYE', [200]);
    const bye = stage.client.request(stage.within(call, { method: 'BYE', headers: [route] }));
    const byeFinal = await bye.final();
    return { ...seen, ACK: ack, BYE: callee.of('BYE')[0], 'final of BYE': byeFinal };
  },

  async 'BYE from a strict router'(stage) {
    const [callee] = stage.callees;
    await invited(stage, 'rr', 200);
    const ruri = /<([^>]+)>/.exec(callee.of('INVITE')[0]!.header('record-route'))![1]!;
    callee.on('BYE', [200]);
    const bye = stage.within(lastCall(stage), { method: 'BYE', ruri, headers: [`Route: <${callee.uri}>`] });
    await stage.client.request(bye).final();
    return { BYE: callee.of('BYE')[0] };
  },

  async 'CANCEL'(stage) {
    const [callee] = stage.callees;
    const call = stage.call('relay', full);
    const invite = await callee.request('INVITE');
    callee.answer(invite, 180);
    const ringing = await call.response(rings, 5000);
    const cancelled = await call.cancel().final();
    const cancel = await callee.request('CANCEL');
    callee.answer(cancel, 200);
    callee.answer(invite, 487);
    return { CANCEL: cancel, '180': ringing, 'final of CANCEL': cancelled, final: await call.final() };
  },

  async 'CANCEL during a suspension'(stage) {
    const call = stage.call('later', { headers: ['X-Wait: 300'] });
    const trying = await call.provisional();
    const cancelled = await call.cancel().final();
    return { '100': trying, 'final of CANCEL': cancelled, final: await call.final() };
  },

  async 'second branch from the failure route'(stage) {
    const [first, second] = stage.callees;
    first.on('INVITE', [486]);
    const call = stage.call('serial', full);
    const invite = await second.request('INVITE');
    second.answer(invite, 404);
    return { INVITE: invite, final: await call.final() };
  },

  async 'second branch from the failure route, after a suspension there'(stage) {
    const [first, second] = stage.callees;
    first.on('INVITE', [486]);
    const call = stage.call('serial-later', full);
    const invite = await second.request('INVITE');
    second.answer(invite, 404);
    return { INVITE: invite, final: await call.final() };
  },

  async 'no Max-Forwards'(stage) {
    const [callee] = stage.callees;
    callee.on('OPTIONS', [200]);
    const text = stage.client.build({
      method: 'OPTIONS', user: 'relay', branch: newBranch(), callId: '@client.invalid', fromTag: 'caller', headers: [`X-To: ${callee.uri}`],
    });
    stage.client.send(text.replace('Max-Forwards: 70\r\n', ''));
    return { OPTIONS: await callee.request('OPTIONS') };
  },

  async 'no hops left'(stage) {
    return { final: await stage.call('relay', { method: 'OPTIONS', maxForwards: 0 }).final() };
  },

  async 'nothing comes from the callee'(stage) {
    return { final: await stage.call('relay', { method: 'OPTIONS' }).final() };
  },
};

export const caseNames: readonly string[] = Object.keys(cases);

const calls = new WeakMap<Stage, Transaction>();
function lastCall(stage: Stage): Transaction {
  return calls.get(stage)!;
}

/** Runs a case with callers and callees of its own. */
export async function runCase(name: string, proxy: RelayProxy): Promise<Seen> {
  const client = await SipClient.open({ port: proxy.port });
  const callees = [await SipCallee.open(), await SipCallee.open()] as const;
  const own = `127.0.0.1:${proxy.port}`;
  const id = token();
  const stage: Stage = {
    client, callees, own,
    call(user, options = {}) {
      const targets = [`X-To: ${callees[0].uri}`, `X-Then: ${callees[1].uri}`];
      const call = client.request({
        user, autoAck: true, branch: `z9hG4bKcaller${id}`, callId: `${id}@client.invalid`, fromTag: 'caller', ...options,
        headers: [...targets, ...(options.headers ?? [])],
      });
      calls.set(stage, call);
      return call;
    },
    within(call, options) {
      const { callId, fromTag, toUser } = call.request;
      return {
        callId, fromTag, toUser, toTag: callees[0].tag, cseq: 2, ruri: callees[0].uri,
        branch: `z9hG4bKcaller${id}-${(options.method ?? '').toLowerCase()}`, ...options,
      };
    },
  };
  try {
    const seen = await cases[name]!(stage);
    const normal = normaliser(stage, proxy.port, id);
    return Object.fromEntries(Object.entries(seen).map(([what, message]) => [what, message ? normal(message.raw) : '(nothing)']));
  } finally {
    await client.close();
    await Promise.all(callees.map((callee) => callee.close()));
  }
}

/** Replaces ports by names, and what the proxy or a party makes up by who made it. */
function normaliser({ client, callees }: Stage, proxyPort: number, id: string): (raw: string) => string {
  const ports: readonly (readonly [number, string])[] = [
    [proxyPort, 'PROXY'], [client.port, 'CALLER'], [callees[0].port, 'CALLEE'], [callees[1].port, 'SECOND'],
  ];
  return (raw) => {
    let text = raw.replaceAll(id, '');
    for (const [port, name] of ports) {
      text = text.replaceAll(`127.0.0.1:${port}`, name).replaceAll(`rport=${port}`, `rport=${name}`);
    }
    return text
      .replaceAll(callees[0].tag, 'callee')
      .replaceAll(callees[1].tag, 'second')
      .replace(/branch=(?!z9hG4bKcaller)z9hG4bK[^;\r\n, ]+/g, 'branch=ITS')
      .replace(/;tag=(?!caller|callee|second)[^;\r\n, ]+/g, ';tag=ITS');
  };
}
