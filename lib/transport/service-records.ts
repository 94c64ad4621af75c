import type { NaptrRecord, SrvRecord } from 'node:dns';
import type { TransportName } from './destination.ts';
import { isSecure } from './destination.ts';
import { isHostName } from './sip-uri.ts';

/** A NAPTR record that leads to SIP, RFC 3263 section 4.1. */
export interface SipNaptr {
  readonly order: number;
  readonly preference: number;
  readonly transport: TransportName;
  /** Whether `name` has SRV records (flag `s`); otherwise it has addresses (flag `a`). */
  readonly hasSrv: boolean;
  readonly name: string;
}

/** A SRV record, RFC 2782; the name is empty where the record says that the service is not offered. */
export interface SipSrv {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
}

// A name with more records than this is broken or hostile; each record kept costs memory for as long as it is cached.
const MOST_NAPTR = 16;
const MOST_SRV = 64;

// RFC 3263 section 10, RFC 7118 section 10.6.
const SERVICES: ReadonlyMap<string, TransportName> = new Map([
  ['sip+d2u', 'udp'],
  ['sip+d2t', 'tcp'],
  ['sips+d2t', 'tls'],
  ['sip+d2w', 'ws'],
  ['sips+d2w', 'wss'],
]);

/** What stands before the name in a query for SRV records; WebSocket has none. */
export const SRV_PREFIX: Readonly<Partial<Record<TransportName, string>>> = {
  udp: '_sip._udp.',
  tcp: '_sip._tcp.',
  tls: '_sips._tcp.',
};

/** The records that lead to SIP, best first; those of other services, and those that cannot be used, are left out. */
export function sipNaptrs(records: readonly NaptrRecord[]): SipNaptr[] {
  const usable: SipNaptr[] = [];
  for (const { order, preference, flags, service, regexp, replacement } of records) {
    const transport = SERVICES.get(service.toLowerCase());
    const flag = flags.toLowerCase();
    const name = withoutRoot(replacement);
    // SIP uses no regular expressions and no records that lead to other NAPTR records.
    if (transport === undefined || (flag !== 's' && flag !== 'a') || regexp !== '' || !isHostName(name)) continue;
    usable.push({ order, preference, transport, hasSrv: flag === 's', name });
  }
  usable.sort((a, b) => a.order - b.order || a.preference - b.preference);
  return usable.slice(0, MOST_NAPTR);
}

/** The records that can be used, those of the lowest priority number first. */
export function sipSrvs(records: readonly SrvRecord[]): SipSrv[] {
  const usable: SipSrv[] = [];
  for (const { priority, weight, port, name } of records) {
    const target = withoutRoot(name);
    if (target === '') usable.push({ priority, weight, port, name: '' });
    else if (port > 0 && isHostName(target)) usable.push({ priority, weight, port, name: target });
  }
  usable.sort((a, b) => a.priority - b.priority);
  return usable.slice(0, MOST_SRV);
}

/**
 * The records in the order to try: by priority, and within one by chance as RFC 2782 describes, so that a record comes first
 * as often as its share of the weights says.
 *
 * @param records as {@link sipSrvs} returns them
 * @param random a number from 0 to below 1, as `Math.random`
 */
export function srvOrder(records: readonly SipSrv[], random: () => number): SipSrv[] {
  const ordered: SipSrv[] = [];
  for (let begin = 0; begin < records.length; ) {
    const { priority } = records[begin]!;
    let end = begin;
    while (records[end]?.priority === priority) end += 1;
    // Those of weight 0 stand first: they are chosen only if the number drawn is 0, or when all others are gone.
    const left = records.slice(begin, end).sort((a, b) => Number(a.weight > 0) - Number(b.weight > 0));
    let sum = left.reduce((total, { weight }) => total + weight, 0);
    while (left.length > 0) {
      const drawn = Math.floor(random() * (sum + 1));
      let running = 0;
      const index = left.findIndex(({ weight }) => (running += weight) >= drawn);
      const [chosen] = left.splice(index, 1);
      sum -= chosen!.weight;
      ordered.push(chosen!);
    }
    begin = end;
  }
  return ordered;
}

/** The NAPTR records that lead to a transport which can be used. */
export function usableNaptrs(records: readonly SipNaptr[], transports: readonly TransportName[], secure: boolean): SipNaptr[] {
  return records.filter(({ transport }) => transports.includes(transport) && (!secure || isSecure(transport)));
}

function withoutRoot(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}
