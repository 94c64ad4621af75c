import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { decode, encode, TRUNCATED_RESPONSE } from 'dns-packet';
import type { Answer, Packet, Question } from 'dns-packet';

/** What a server does with the queries for one name and type. */
export type Reaction =
  | readonly Answer[]
  | 'SERVFAIL'
  | 'REFUSED'
  | 'NXDOMAIN'
  /** No answer at all. */
  | 'silence'
  /** Bytes that are no DNS message. */
  | 'garbage'
  /** A message whose end is missing. */
  | 'cut'
  /** Cut over UDP with the bit that says so, and no answer over TCP. */
  | 'truncated';

const LARGEST_DATAGRAM = 1232;
const RCODES: Readonly<Record<string, number>> = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };

/** A DNS server on 127.0.0.1, over UDP and TCP, that knows what a test tells it. */
export class DnsServer {
  /** Each query that came, as `SRV _sip._udp.example.test`, in lower case; repetitions too. */
  readonly queries: string[] = [];
  readonly #reactions = new Map<string, Reaction>();
  readonly #waiting: { readonly query: string; readonly came: () => void }[] = [];
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  #isHolding = false;

  private constructor(udp: UdpSocket, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on('message', (bytes, { port, address }) => {
      this.#accept(bytes, LARGEST_DATAGRAM, (reply) => udp.send(reply, port, address));
    });
    tcp.on('connection', (connection) => this.#serve(connection));
  }

  static async open(): Promise<DnsServer> {
    for (;;) {
      const tcp = createServer().listen(0, '127.0.0.1');
      await once(tcp, 'listening');
      const udp = createSocket('udp4');
      const { port } = tcp.address() as { port: number };
      const bound = await new Promise<boolean>((resolve) => {
        udp.once('error', () => resolve(false)).bind(port, '127.0.0.1', () => resolve(true));
      });
      if (bound) return new DnsServer(udp, tcp);
      tcp.close();
      udp.close();
    }
  }

  /** As `dns.Resolver.setServers` takes it. */
  get address(): string {
    return `127.0.0.1:${this.#udp.address().port}`;
  }

  /** How often a query came. */
  count(query: string): number {
    return this.queries.filter((other) => other === query).length;
  }

  /** Says what to do with the queries of one type for one name. */
  on(type: string, name: string, reaction: Reaction): this {
    this.#reactions.set(`${type} ${name}`, reaction);
    return this;
  }

  a(name: string, addresses: readonly string[], ttl = 60): this {
    return this.on('A', name, addresses.map((data) => ({ type: 'A', name, ttl, data })));
  }

  aaaa(name: string, addresses: readonly string[], ttl = 60): this {
    return this.on('AAAA', name, addresses.map((data) => ({ type: 'AAAA', name, ttl, data })));
  }

  /** Records as `'10 60 5060 a.example.test'`: priority, weight, port and target. */
  srv(name: string, records: readonly string[]): this {
    const answers = records.map((record): Answer => {
      const [priority, weight, port, target] = record.split(' ');
      const data = { priority: Number(priority), weight: Number(weight), port: Number(port), target: target! };
      return { type: 'SRV', name, ttl: 60, data };
    });
    return this.on('SRV', name, answers);
  }

  /** Records as `'10 50 s SIP+D2U _sip._udp.example.test'`: order, preference, flags, service and replacement. */
  naptr(name: string, records: readonly string[]): this {
    const answers = records.map((record): Answer => {
      const [order, preference, flags, services, replacement, regexp = ''] = record.split(' ');
      const data = { flags: flags!, services: services!, replacement: replacement!, regexp };
      return { type: 'NAPTR', name, ttl: 60, data: { ...data, order: Number(order), preference: Number(preference) } };
    });
    return this.on('NAPTR', name, answers);
  }

  /** Keeps back what is asked from now on, until `release()`. */
  hold(): void {
    this.#isHolding = true;
  }

  release(): void {
    this.#isHolding = false;
    for (const answer of this.#held.splice(0)) answer();
  }

  /** Resolves when a query has come for the first time, or at once if it has come already. */
  async came(query: string): Promise<void> {
    if (this.queries.includes(query)) return;
    await new Promise<void>((came) => this.#waiting.push({ query, came }));
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const closed = [once(this.#udp, 'close'), once(this.#tcp, 'close')];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
  }

  #serve(connection: Socket): void {
    this.#connections.add(connection);
    connection.on('close', () => this.#connections.delete(connection)).on('error', () => {});
    let bytes = Buffer.alloc(0);
    connection.on('data', (more) => {
      bytes = Buffer.concat([bytes, more]);
      while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE()) {
        const length = 2 + bytes.readUInt16BE();
        const query = bytes.subarray(2, length);
        bytes = bytes.subarray(length);
        this.#accept(query, Infinity, (reply) => connection.write(Buffer.concat([lengthOf(reply), reply])));
      }
    });
  }

  #accept(bytes: Buffer, largest: number, send: (reply: Buffer) => void): void {
    const packet = decode(bytes);
    const question = packet.questions?.[0];
    if (question === undefined) return;
    const name = question.name.toLowerCase();
    const query = `${question.type} ${name}`;
    this.queries.push(query);
    for (const waiting of this.#waiting) if (waiting.query === query) waiting.came();
    const answer = () => {
      const reply = this.#reply(packet, question, name, largest);
      if (reply !== null) send(reply);
    };
    if (this.#isHolding) this.#held.push(answer);
    else answer();
  }

  #reply(packet: Packet, question: Question, name: string, largest: number): Buffer | null {
    const reaction = this.#reactions.get(`${question.type} ${name}`) ?? (this.#knows(name) ? [] : 'NXDOMAIN');
    if (reaction === 'silence' || (reaction === 'truncated' && largest === Infinity)) return null;
    if (reaction === 'garbage') return Buffer.from('no message of DNS at all, but of the right length');
    const answers = typeof reaction === 'string' ? [] : [...reaction];
    if (reaction === 'cut') answers.push({ type: 'A', name, ttl: 60, data: '192.0.2.99' });
    const rcode = typeof reaction === 'string' ? (RCODES[reaction] ?? 0) : 0;
    const head: Packet = { type: 'response', id: packet.id ?? 0, questions: [question] };
    const whole = encode({ ...head, flags: 0x0180 | rcode, answers });
    if (reaction === 'cut') return whole.subarray(0, whole.length - 3);
    if (reaction !== 'truncated' && whole.length <= largest) return whole;
    return encode({ ...head, flags: 0x0180 | TRUNCATED_RESPONSE, answers: [] });
  }

  /** Whether there are records of any type for the name, so that a query for another type gets an empty answer. */
  #knows(name: string): boolean {
    return [...this.#reactions.keys()].some((key) => key.endsWith(` ${name}`));
  }
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return length;
}
