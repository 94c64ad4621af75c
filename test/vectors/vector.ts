/** What has to happen to a message. */
export type Outcome =
  /** It reaches `requestRoute`. */
  | { readonly is: 'route' }
  /** It is counted under `stats().transport.malformed[reason]` and answered. */
  | { readonly is: 'refused'; readonly status: number; readonly reason: string }
  /** It is counted there and nothing is sent. */
  | { readonly is: 'dropped'; readonly reason: string }
  /** It is no fault: one of the other counters of `stats().transport` moves. */
  | { readonly is: 'absorbed'; readonly counter: 'keepAlives' | 'strayResponses' }
  /** It is answered by the transaction layer itself, and no counter of faults moves. */
  | { readonly is: 'answered'; readonly status: number };

/**
 * What only a stream can do: wait for the rest of a message, or be closed because its messages cannot be told apart, after a
 * reply with this status unless it is 0.
 */
export type StreamOutcome = Outcome | { readonly is: 'incomplete' } | { readonly is: 'closed'; readonly status: number };

export const route: Outcome = { is: 'route' };
export const refused = (reason: string, status = 400): Outcome => ({ is: 'refused', status, reason });
export const dropped = (reason: string): Outcome => ({ is: 'dropped', reason });
export const keepAlive: Outcome = { is: 'absorbed', counter: 'keepAlives' };
export const strayResponse: Outcome = { is: 'absorbed', counter: 'strayResponses' };
export const answered = (status: number): Outcome => ({ is: 'answered', status });
export const incomplete: StreamOutcome = { is: 'incomplete' };
export const closed = (status = 0): StreamOutcome => ({ is: 'closed', status });
/** Line ends between messages that are no keep-alive. */
export const skipped: readonly StreamOutcome[] = [];

export interface Vector {
  /** Unique among all vectors. */
  readonly name: string;
  /** One character for each byte. */
  readonly bytes: string;
  /** What happens to it as a datagram. */
  readonly udp: Outcome;
  /** What happens to it on a stream, where that is not the same: to each piece that it is cut into. */
  readonly tcp?: StreamOutcome | readonly StreamOutcome[];
}

/** The text of a message; `{id}` in it stands for a word that no other vector has. */
export type Build = () => string;

/** A vector as a table has it: name, bytes, outcome as a datagram, outcome on a stream where it differs. */
export type Row = readonly [name: string, build: Build, udp: Outcome, tcp?: Vector['tcp']];

/** The values of a message that is good where nothing is said; `null` leaves a header out. */
export interface Parts {
  /** The whole start line. */
  start?: string;
  method?: string;
  uri?: string;
  via?: string | null;
  maxForwards?: string | null;
  from?: string | null;
  to?: string | null;
  callId?: string | null;
  cseq?: string | null;
  /** Whole further header lines. */
  more?: readonly string[];
  /** The value of Content-Length, in place of the length of the body. */
  length?: string | null;
  body?: string;
  /** What stands between the lines, in place of CR LF. */
  lineEnd?: string;
}

/** A branch that no other vector has. */
export const branch = 'branch=z9hG4bK{id}';
export const goodVia = `SIP/2.0/UDP client.invalid;${branch};rport`;

export function request(parts: Parts = {}): Build {
  const { method = 'OPTIONS', uri = 'sip:alice@proxy.invalid', body = '', lineEnd = '\r\n' } = parts;
  const header = (name: string, value: string | null | undefined, usual: string): string[] =>
    value === null ? [] : [`${name}: ${value ?? usual}`];
  return () =>
    [
      parts.start ?? `${method} ${uri} SIP/2.0`,
      ...header('Via', parts.via, goodVia),
      ...header('Max-Forwards', parts.maxForwards, '70'),
      ...header('From', parts.from, '<sip:caller@client.invalid>;tag=1'),
      ...header('To', parts.to, '<sip:alice@proxy.invalid>'),
      ...header('Call-ID', parts.callId, '{id}@vectors.invalid'),
      ...header('CSeq', parts.cseq, `1 ${method}`),
      ...(parts.more ?? []),
      ...header('Content-Length', parts.length, String(body.length)),
      '',
      body,
    ].join(lineEnd);
}

/** A good message with further header lines. */
export const withLines = (...more: string[]): Build => request({ more });

/** Bytes that are no variation of a good message. */
export const raw = (bytes: string): Build => () => bytes;

/** Makes vectors of the rows of a table. */
export function vectors(subject: string, rows: readonly Row[]): Vector[] {
  return rows.map(([name, build, udp, tcp], number) => ({
    name: `${subject}: ${name}`,
    bytes: build().replaceAll('{id}', `${subject.replaceAll(/\W+/g, '-')}-${number}`),
    udp,
    ...(tcp === undefined ? {} : { tcp }),
  }));
}

/** What happens to a vector on a stream, piece by piece. */
export function onStream({ udp, tcp = udp }: Vector): readonly StreamOutcome[] {
  return 'is' in tcp ? [tcp] : tcp;
}
