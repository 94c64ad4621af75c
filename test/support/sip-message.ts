/** A SIP message as a test reads it: the bytes as they came, and the few parts that tests ask for. */
export interface SipMessage {
  readonly raw: string;
  readonly startLine: string;
  /** 0 for a request. */
  readonly status: number;
  readonly reason: string;
  /** Method of a request; for a response, the method its CSeq names. */
  readonly method: string;
  /** By lower-case long name, in the order of the message, folded lines joined; never split at commas. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
  /** First value of the header, '' when there is none. */
  header(name: string): string;
  /** `performance.now()` at arrival, in milliseconds. */
  readonly atMs: number;
}

const longNames: Readonly<Record<string, string>> = {
  c: 'content-type', e: 'content-encoding', f: 'from', i: 'call-id', k: 'supported', l: 'content-length',
  m: 'contact', s: 'subject', t: 'to', v: 'via',
};

/** Reads a message that our own proxy has sent; throws on what is not SIP, because that is a failure of the test. */
export function parseSip(bytes: Buffer | string, atMs = performance.now()): SipMessage {
  const raw = typeof bytes === 'string' ? bytes : bytes.toString('latin1');
  const headEnd = raw.indexOf('\r\n\r\n');
  if (headEnd < 0) throw new Error(`no empty line ends the headers: ${JSON.stringify(raw.slice(0, 200))}`);
  const [startLine = '', ...lines] = raw.slice(0, headEnd).replace(/\r\n[ \t]+/g, ' ').split('\r\n');

  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`not a header line: ${JSON.stringify(line)}`);
    const short = line.slice(0, colon).trim().toLowerCase();
    const name = longNames[short] ?? short;
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  const header = (name: string): string => headers.get(name.toLowerCase())?.[0] ?? '';

  const response = /^SIP\/2\.0 ([1-6]\d\d) (.*)$/.exec(startLine);
  const request = /^(\S+) \S+ SIP\/2\.0$/.exec(startLine);
  if (!response && !request) throw new Error(`not a SIP start line: ${JSON.stringify(startLine)}`);
  return {
    raw,
    startLine,
    status: Number(response?.[1] ?? 0),
    reason: response?.[2] ?? '',
    method: request?.[1] ?? header('cseq').split(/\s+/)[1] ?? '',
    headers,
    body: raw.slice(headEnd + 4),
    header,
    atMs,
  };
}

/** The value of a parameter such as `tag` or `branch`, '' when it is not there. */
export function parameter(value: string, name: string): string {
  return new RegExp(`;\\s*${name}\\s*=\\s*([^;,\\s>]+)`, 'i').exec(value)?.[1] ?? '';
}
