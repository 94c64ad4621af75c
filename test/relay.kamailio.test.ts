import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caseNames, runCase } from './support/relay-cases.ts';
import type { Seen } from './support/relay-cases.ts';
import { hasReference } from './support/reference-proxy.ts';
import { RelayProxy } from './support/relay-scene.ts';
import { parseSip } from './support/sip-message.ts';

/** The start line as `start`, the headers by name, the body as `body`. */
type Parts = Record<string, readonly string[]>;

/** One place where the two differ on purpose; docs/from-kamailio.md has a row for each. */
interface Difference {
  /** The messages it is about, as `case: message`. */
  readonly where: RegExp;
  readonly part: string;
  readonly kamailio: RegExp;
  /** What stands there instead, as in `String.replace`. */
  readonly ours: string;
}

const differences: readonly Difference[] = [
  { where: /: 100$/, part: 'start', kamailio: /^SIP\/2\.0 100 trying -- your call is important to us$/, ours: 'SIP/2.0 100 Trying' },
  { where: /: final of CANCEL$/, part: 'start', kamailio: /^SIP\/2\.0 200 (canceling|ok -- no more pending branches)$/, ours: 'SIP/2.0 200 OK' },
  { where: /CANCEL during a suspension: final$/, part: 'start', kamailio: /^SIP\/2\.0 487 Request canceled$/, ours: 'SIP/2.0 487 Request Terminated' },
  { where: /^a dialog: /, part: 'record-route', kamailio: /^<sip:PROXY;lr;ftag=caller>$/, ours: '<sip:PROXY;lr>' },
];

/** What a proxy may choose in a request that it makes itself. */
const hopsChosen = /: (ACK|CANCEL)$/;

/** A message in a form in which two that mean the same are equal. */
function partsOf(where: string, text: string): Parts {
  const message = parseSip(text);
  const parts: Parts = { start: [message.startLine], body: [message.body] };
  for (const [name, values] of message.headers) parts[name] = name === 'via' ? values.map(sortedParameters) : values;
  if (hopsChosen.test(where) && message.headers.get('via')?.length === 1) {
    parts['max-forwards'] = [/^(69|70)$/.test(message.header('max-forwards')) ? '69 or 70' : message.header('max-forwards')];
  }
  return parts;
}

/** The order of parameters means nothing. */
function sortedParameters(via: string): string {
  const [sentBy = '', ...parameters] = via.split(';');
  return [sentBy, ...parameters.sort()].join(';');
}

function oursFrom(where: string, kamailio: Parts): Parts {
  const parts = { ...kamailio };
  for (const difference of differences) {
    const values = parts[difference.part];
    if (!difference.where.test(where) || !values) continue;
    parts[difference.part] = values.map((value) => value.replace(difference.kamailio, difference.ours));
  }
  return parts;
}

if (!hasReference) console.warn('Kamailio is not installed; what is relayed is not compared with it (apt-get install kamailio)');

describe.skipIf(!hasReference)('what a relay sends, beside Kamailio', () => {
  const tm = { fr_timer: 700 };
  const seen = new Map<string, Seen>();
  const met = new Set<Difference>();
  let kamailio: RelayProxy;
  let ours: RelayProxy;
  beforeAll(async () => {
    [kamailio, ours] = await Promise.all([RelayProxy.start(tm, true), RelayProxy.start(tm, false)]);
  });
  afterAll(async () => {
    await kamailio.stop();
    await ours.stop();
  });

  it.each(caseNames)('Kamailio: %s', async (name) => {
    const messages = await runCase(name, kamailio);
    seen.set(name, messages);
    expect(Object.keys(messages).length).toBeGreaterThan(0);
    for (const [what, text] of Object.entries(messages)) {
      const parts = partsOf(`${name}: ${what}`, text);
      for (const difference of differences) {
        if (!difference.where.test(`${name}: ${what}`) || !parts[difference.part]) continue;
        for (const value of parts[difference.part]!) expect(value).toMatch(difference.kamailio);
        met.add(difference);
      }
    }
  });

  it('knows of no difference that Kamailio does not show', () => {
    expect(differences.filter((difference) => !met.has(difference))).toEqual([]);
  });

  it.each(caseNames)('the same here: %s', async (name) => {
    const messages = await runCase(name, ours);
    const reference = seen.get(name);
    expect(reference, 'what Kamailio sent').toBeDefined();
    expect(Object.keys(messages)).toEqual(Object.keys(reference!));
    for (const [what, text] of Object.entries(messages)) {
      const where = `${name}: ${what}`;
      expect(partsOf(where, text), where).toEqual(oursFrom(where, partsOf(where, reference![what]!)));
    }
    await ours.callsEnd();
  });
});
