import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { openRestPool, restGet, restPost, restPut } from 'sip-async/ops';
import type { RestPool, RestPoolOptions } from 'sip-async/ops';
import { aborted, Attempt, codeOf, run } from './support/attempt.ts';
import { eventually } from './support/eventually.ts';
import { HttpPeer } from './support/http-peer.ts';
import type { Request } from './support/http-peer.ts';
import { SilentPeer } from './support/silent-peer.ts';
import { freeTcpPort } from './support/server-process.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(answer: (request: Request, response: ServerResponse) => void): Promise<HttpPeer> {
  const peer = await HttpPeer.start(answer);
  ends.push(() => peer.stop());
  return peer;
}

function open(options: RestPoolOptions = {}): RestPool {
  const pool = openRestPool(options);
  ends.push(() => pool.close());
  return pool;
}

/** A server that answers when the test says so. */
class PatientPeer {
  readonly waiting: { request: Request; response: ServerResponse }[] = [];
  peer!: HttpPeer;

  static async start(): Promise<PatientPeer> {
    const patient = new PatientPeer();
    patient.peer = await start((request, response) => patient.waiting.push({ request, response }));
    return patient;
  }

  /** Waits until so many requests are here. */
  async has(count: number): Promise<void> {
    await eventually(() => this.waiting.length >= count);
  }

  answerAll(): void {
    for (const { request, response } of this.waiting.splice(0)) response.end(request.path);
  }
}

describe('restGet, restPost and restPut', () => {
  it('resolve to status, headers and body, whatever the status is', async () => {
    const peer = await start(({ path }, response) => {
      response.writeHead(Number(path.slice(1)), { 'X-Two': ['a', 'b'], Location: '/200' }).end('körper');
    });
    for (const status of [200, 301, 404, 500]) {
      const result = await run(restGet(`${peer.url}/${status}`));
      expect(result).toMatchObject({ status, body: 'körper' });
      expect(result.headers['x-two']).toEqual(['a', 'b']);
    }
    expect(peer.requests).toHaveLength(4);
  });

  it('send method, header fields and body, with the content type of rest_client', async () => {
    const peer = await start((_, response) => response.end());
    const { url } = peer;
    await run(restGet(new URL('/get?x=1', url), { headers: { 'X-Key': 'k', Accept: ['text/a', 'text/b'] } }));
    await run(restPost(`${url}/post`, 'a=1&b=ü'));
    await run(restPost(`${url}/post`, '{}', { contentType: 'application/json', headers: { 'Content-Type': 'text/x' } }));
    await run(restPut(`${url}/put`, new TextEncoder().encode('bytes'), { headers: { 'content-type': 'text/plain' } }));
    const seen = peer.requests.map(({ method, path, headers, body }) => [method, path, headers['content-type'], body]);
    expect(seen).toEqual([
      ['GET', '/get?x=1', undefined, ''],
      ['POST', '/post', 'application/x-www-form-urlencoded', 'a=1&b=ü'],
      ['POST', '/post', 'application/json', '{}'],
      ['PUT', '/put', 'text/plain', 'bytes'],
    ]);
    expect(peer.requests[0]!.headers).toMatchObject({ 'x-key': 'k', accept: 'text/a, text/b' });
    // All over the connection that was made for the first.
    expect(peer.connections).toBe(1);
  });

  it('give the body as JSON or bytes', async () => {
    const peer = await start(({ path }, response) => response.end(path === '/json' ? '{"credit":7}' : path.slice(1)));
    const { url } = peer;
    expect((await run(restGet<{ credit: number }>(`${url}/json`, { as: 'json' }))).body.credit).toBe(7);
    expect((await run(restGet(`${url}/`, { as: 'json' }))).body).toBeNull();
    expect((await run(restGet(`${url}/ab`, { as: 'bytes' }))).body).toEqual(new Uint8Array([97, 98]));
    expect(await codeOf(run(restGet(`${url}/{`, { as: 'json' })))).toBe('INVALID_BODY');
  });

  it('refuse a body that is longer than allowed', async () => {
    const peer = await start(({ path }, response) => {
      if (path === '/endless') {
        const write = () => {
          while (!response.destroyed && response.write('x'.repeat(65_536)));
        };
        response.on('drain', write);
        write();
      } else response.end('12345');
    });
    expect((await run(restGet(peer.url, { maxResponseBytes: 5 }))).body).toBe('12345');
    expect(await codeOf(run(restGet(peer.url, { maxResponseBytes: 4 })))).toBe('OUTPUT_TOO_LARGE');
    expect(await codeOf(run(restGet(`${peer.url}/endless`)))).toBe('OUTPUT_TOO_LARGE');
    await eventually(() => peer.sockets.size === 0);
  });

  it('reject what gets no response', async () => {
    const port = await freeTcpPort();
    const attempt = new Attempt(restGet(`http://127.0.0.1:${port}`));
    await expect(attempt.result).rejects.toMatchObject({ code: 'SIPASYNC_ERR_REST', cause: { code: 'ECONNREFUSED' } });
    expect(attempt.listeners).toBe(0);
    for (const url of ['nonsense', 'ftp://127.0.0.1/', '']) expect(await codeOf(run(restGet(url)))).toBe('REST');
    const odd = await start((_, response) => response.socket!.end('not HTTP at all\r\n\r\n'));
    expect(await codeOf(run(restGet(odd.url)))).toBe('REST');
    expect(await codeOf(run(restGet(odd.url, { headers: { 'a b': 'c' } })))).toBe('REST');
  });

  it.each(['before its response', 'in its middle'])('reject a peer that resets the connection %s', async (when) => {
    const peer = await start((_, response) => {
      if (when.startsWith('before')) response.socket!.resetAndDestroy();
      else response.writeHead(200, { 'Content-Length': 100 }).write('x', () => response.socket!.resetAndDestroy());
    });
    const pool = open();
    const attempt = new Attempt(restGet(peer.url, { pool }));
    expect(await codeOf(attempt.result)).toBe('REST');
    expect([attempt.listeners, pool.stats()]).toEqual([0, { running: 0, queued: 0, idle: 0 }]);
  });

  it('give up a peer that never answers', async () => {
    const { peer } = await PatientPeer.start();
    const pool = open();
    const attempt = new Attempt(restGet(peer.url, { pool, timeoutMs: 50 }));
    await expect(attempt.result).rejects.toThrow('no complete response within 50 ms');
    expect(await codeOf(attempt.result)).toBe('REST');
    await eventually(() => peer.sockets.size === 0);
    expect([attempt.listeners, pool.stats()]).toEqual([0, { running: 0, queued: 0, idle: 0 }]);
  });

  it('give up a peer that takes the connection and says nothing to TLS', async () => {
    const silent = await SilentPeer.start();
    ends.push(() => silent.stop());
    const url = `https://127.0.0.1:${silent.port}`;
    expect(await codeOf(run(restGet(url, { timeoutMs: 50 })))).toBe('REST');
    const pool = open({ connectTimeoutMs: 100 });
    await expect(run(restGet(url, { pool }))).rejects.toMatchObject({ cause: { code: 'UND_ERR_CONNECT_TIMEOUT' } });
    // The connection that is being made for a request goes with it.
    const another = await SilentPeer.start();
    ends.push(() => another.stop());
    const attempt = new Attempt(restGet(`https://127.0.0.1:${another.port}`));
    await eventually(() => another.sockets.length === 1);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    await eventually(() => another.open + silent.open === 0);
  });

  it('end with their signal: before, under way, and not after', async () => {
    const patient = await PatientPeer.start();
    const pool = open();
    expect(await codeOf(aborted(restGet(patient.peer.url, { pool })))).toBe('ABORTED');
    expect(patient.peer.connections).toBe(0);

    const attempt = new Attempt(restGet(patient.peer.url, { pool }));
    await patient.has(1);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    expect([attempt.listeners, pool.stats()]).toEqual([0, { running: 0, queued: 0, idle: 0 }]);
    // The server learns of it: the connection is closed.
    await eventually(() => patient.peer.sockets.size === 0);

    const done = new Attempt(restGet(`${patient.peer.url}/late`, { pool }));
    await patient.has(2);
    patient.answerAll();
    expect((await done.result).body).toBe('/late');
    expect(done.listeners).toBe(0);
    done.abort();
    expect(done.outcome).toMatchObject({ value: { body: '/late' } });
  });

  it('end with their signal in the middle of a body', async () => {
    const peer = await start((_, response) => void response.writeHead(200, { 'Content-Length': 100 }).write('x'));
    const attempt = new Attempt(restGet(peer.url));
    await eventually(() => peer.requests.length === 1);
    attempt.abort();
    expect(await codeOf(attempt.result)).toBe('ABORTED');
    await eventually(() => peer.sockets.size === 0);
  });

  it('throw for arguments of a wrong type or range', () => {
    const wrong: (() => unknown)[] = [
      () => restGet(1 as never),
      () => restPost('http://x', 1 as never),
      () => restPut('http://x', null as never),
      () => restGet('http://x', { as: 'xml' as never }),
      () => restGet('http://x', { pool: {} as never }),
      () => restGet('http://x', { headers: { a: 1 as never } }),
      () => restGet('http://x', { headers: 'a: b' as never }),
      () => restPost('http://x', '', { contentType: 1 as never }),
      () => restGet('http://x', { timeoutMs: '1' as never }),
      () => openRestPool({ tls: 1 as never }),
    ];
    for (const make of wrong) expect(make).toThrow(TypeError);
    expect(() => restGet('http://x', { timeoutMs: -1 })).toThrow(RangeError);
    expect(() => restGet('http://x', { maxResponseBytes: 0.5 })).toThrow(RangeError);
    expect(() => openRestPool({ connections: 0 })).toThrow(RangeError);
  });
});

describe('openRestPool', () => {
  it('queues what is too much, in order, and refuses what is more', async () => {
    const patient = await PatientPeer.start();
    const pool = open({ connections: 2, maxQueue: 3 });
    const get = (number: number) => new Attempt(restGet(`${patient.peer.url}/${number}`, { pool }));
    const attempts = Array.from({ length: 6 }, (_, number) => get(number));
    expect(await codeOf(attempts[5]!.result)).toBe('POOL_FULL');
    expect(pool.stats()).toEqual({ running: 2, queued: 3, idle: 0 });
    await patient.has(2);

    // One that gives up while it waits leaves its place to others.
    attempts[3]!.abort();
    expect(await codeOf(attempts[3]!.result)).toBe('ABORTED');
    expect(pool.stats()).toEqual({ running: 2, queued: 2, idle: 0 });
    const last = get(6);
    const ended = [0, 1, 2, 4].map((number) => attempts[number]!.result).concat(last.result);
    const order: string[] = [];
    while (order.length < 5) {
      await eventually(() => patient.waiting.length > 0);
      order.push(...patient.waiting.map(({ request }) => request.path));
      patient.answerAll();
    }
    await Promise.all(ended);
    expect(order.slice(2)).toEqual(['/2', '/4', '/6']);
    expect(patient.peer.connections).toBe(2);
    expect(pool.stats()).toEqual({ running: 0, queued: 0, idle: 2 });
    expect([...attempts, last].map(({ listeners }) => listeners)).toEqual(Array(7).fill(0));
  });

  it('has limits for each server, so that one that is slow does not take the place of others', async () => {
    const slow = await PatientPeer.start();
    const quick = await start((_, response) => response.end('quick'));
    const pool = open({ connections: 1, maxQueue: 0 });
    const waiting = new Attempt(restGet(slow.peer.url, { pool }));
    expect(await codeOf(run(restGet(slow.peer.url, { pool })))).toBe('POOL_FULL');
    expect((await run(restGet(quick.url, { pool }))).body).toBe('quick');
    waiting.abort();
    expect(await codeOf(waiting.result)).toBe('ABORTED');
  });

  it('one of 1,000 requests times out, and the others are not touched', async () => {
    const peer = await start(({ path }, response) => {
      if (path !== '/500') response.end(path);
    });
    const pool = open({ connections: 50, maxQueue: 1000 });
    const attempts = Array.from({ length: 1000 }, (_, number) => new Attempt(restGet(`${peer.url}/${number}`, { pool })));
    const others = attempts.filter((_, number) => number !== 500);
    await Promise.all(others.map(({ result }) => result));
    attempts[500]!.abort(new DOMException('too late', 'TimeoutError'));
    expect(await codeOf(attempts[500]!.result)).toBe('ABORTED');
    for (const [number, { outcome }] of attempts.entries()) {
      if (number !== 500) expect(outcome).toMatchObject({ value: { body: `/${number}` } });
    }
    expect(pool.stats()).toEqual({ running: 0, queued: 0, idle: 49 });
    expect(peer.connections).toBe(50);
  });

  it('refuses what waits and what comes when it closes, and lets the rest end', async () => {
    const patient = await PatientPeer.start();
    const pool = openRestPool({ connections: 1 });
    const underWay = new Attempt(restGet(`${patient.peer.url}/x`, { pool }));
    const waiting = new Attempt(restGet(patient.peer.url, { pool }));
    await patient.has(1);
    const closed = pool.close();
    expect(pool.close()).toBe(closed);
    expect(await codeOf(waiting.result)).toBe('CLOSED');
    expect(await codeOf(run(restGet(patient.peer.url, { pool })))).toBe('CLOSED');
    patient.answerAll();
    expect((await underWay.result).body).toBe('/x');
    await closed;
    await eventually(() => patient.peer.sockets.size === 0);
  });
});
