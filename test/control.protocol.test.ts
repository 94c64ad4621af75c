import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { askControl, ControlSocket, invalidRequest as invalid, socketFolder } from './support/control-socket.ts';
import type { Answer } from './support/control-socket.ts';
import { sequence } from './support/random.ts';
import { useProxy } from './support/running-proxy.ts';

const path = join(socketFolder(), 'c.sock');

const open: ControlSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});
async function connected(path: string): Promise<ControlSocket> {
  const socket = await ControlSocket.open(path);
  open.push(socket);
  return socket;
}

const noJson = invalid('expected a JSON object in one line, as {"command":"ps"}');
const tooLong = invalid('a line takes at most 65536 bytes');

describe('the control socket', () => {
  const running = useProxy(`requestRoute(msg) { msg.sendReply(404); },`, { overrides: { control: path } });

  it.each<[string, Answer]>([
    ['', noJson],
    [' ', noJson],
    ['ps', noJson],
    ['{"command":"ps"', noJson],
    ['{"command":"ps"}}', noJson],
    ['{command:"ps"}', noJson],
    ['{"command":"ps"}{"command":"ps"}', noJson],
    ['\0', noJson],
    ['GET / HTTP/1.1', noJson],
    ['['.repeat(65_536), noJson],
    [`${'['.repeat(32_768)}${']'.repeat(32_768)}`, invalid('expected a JSON object, got an array')],
    ['null', invalid('expected a JSON object, got null')],
    ['1', invalid('expected a JSON object, got 1')],
    ['"ps"', invalid('expected a JSON object, got the string "ps"')],
    ['["ps"]', invalid('expected a JSON object, got an array')],
    ['{}', invalid('command: expected one of ps, cancel, stats, got nothing')],
    ['{"command":null}', invalid('command: expected one of ps, cancel, stats, got null')],
    ['{"command":["ps"]}', invalid('command: expected one of ps, cancel, stats, got an array')],
    ['{"command":"stat"}', invalid('command: expected one of ps, cancel, stats, got the string "stat", did you mean stats?')],
    ['{"command":"constructor"}', invalid('command: expected one of ps, cancel, stats, got the string "constructor"')],
    ['{"command":"ps","limi":1}', invalid('unknown key "limi", did you mean limit?')],
    ['{"command":"ps","handle":1}', invalid('unknown key "handle"')],
    ['{"command":"stats","limit":1}', invalid('unknown key "limit"')],
    ['{"command":"stats","__proto__":1}', invalid('unknown key "__proto__"')],
    ['{"command":"stats","a\\nb":1}', invalid('unknown key "a\\nb"')],
    ['{"command":"ps","limit":0}', invalid('limit: expected an integer from 1 to 10000, got 0')],
    ['{"command":"ps","limit":10001}', invalid('limit: expected an integer from 1 to 10000, got 10001')],
    ['{"command":"ps","limit":1.5}', invalid('limit: expected an integer from 1 to 10000, got 1.5')],
    ['{"command":"ps","limit":1e999}', invalid('limit: expected an integer from 1 to 10000, got Infinity')],
    ['{"command":"ps","limit":"9"}', invalid('limit: expected an integer from 1 to 10000, got the string "9"')],
    ['{"command":"cancel"}', invalid('expected a handle as {"index":1,"label":1}, got nothing')],
    ['{"command":"cancel","handle":"1:2"}', invalid('expected a handle as {"index":1,"label":1}, got the string "1:2"')],
    ['{"command":"cancel","handle":[1,2]}', invalid('expected a handle as {"index":1,"label":1}, got an array')],
    ['{"command":"cancel","handle":{"index":1}}', invalid('handle.label: expected an integer from 0 to 4294967295, got nothing')],
    ['{"command":"cancel","handle":{"index":-1,"label":1}}', invalid('handle.index: expected an integer from 0 to 4294967295, got -1')],
    ['{"command":"cancel","handle":{"index":1,"label":4294967296}}', invalid('handle.label: expected an integer from 0 to 4294967295, got 4294967296')],
    ['{"command":"cancel","handle":{"index":1,"label":1,"labl":1}}', invalid('unknown key "labl", did you mean label?')],
  ])('answers %j with an error, and goes on', async (line, answer) => {
    const socket = await connected(path);
    expect(await socket.ask(line)).toEqual(answer);
    expect(await socket.ask('{"command":"stats"}')).toMatchObject({ ok: true });
  });

  it('takes no bytes that are no UTF-8', async () => {
    const socket = await connected(path);
    expect(await socket.ask(Buffer.from('{"command":"\xff"}', 'latin1'))).toEqual(noJson);
    expect(await socket.ask('{"command":"stats"}')).toMatchObject({ ok: true });
  });

  it('answers lines that chance has made, each once', { timeout: 60_000 }, async () => {
    const { seed, next } = sequence();
    const requests = [
      '{"command":"ps","limit":3}', '{"command":"cancel","handle":{"index":3,"label":1}}', '{"command":"stats"}',
      `{"command":"ps","limit":${'9'.repeat(400)}}`, '[[[[]]]]', `"${'é'.repeat(3000)}"`,
    ];
    const pieces = ['"', '{', '}', '[', ']', ':', ',', '\\', '\\u0000', '\0', 'null', '1e9', '-', '__proto__', '\xff\xfe', '\r', '\n'];
    const socket = await connected(path);
    let lines = 0;
    for (let round = 0; round < 40; round += 1) {
      const batch: Buffer[] = [];
      for (let i = 0; i < 25; i += 1) {
        let text = requests[next(requests.length)]!;
        for (let change = next(4); change > 0; change -= 1) {
          const at = next(text.length + 1);
          const piece = pieces[next(pieces.length)]!;
          text = [text.slice(0, at), text.slice(0, at) + piece + text.slice(at), text.slice(at)][next(3)]!;
        }
        batch.push(Buffer.from(`${text}\n`, 'latin1'));
      }
      const bytes = Buffer.concat(batch);
      lines += bytes.filter((byte) => byte === 0x0a).length;
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + next(4000);
        socket.send(bytes.subarray(at, at + size));
        at += size;
      }
      const answers = await socket.atLeast(lines);
      expect(answers.length, `seed ${seed}`).toBe(lines);
    }
    const wrong = socket.answers.filter(({ ok, result, code, message }) =>
      ok ? result === undefined : !/^SIPASYNC_ERR_(INVALID_REQUEST|STALE_HANDLE|NOT_SUSPENDED)$/.test(code!) || message!.length > 400);
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect((await running.ask({ method: 'OPTIONS' })).status).toBe(404);
  });

  it('takes a line of 64 KiB and none that is longer', async () => {
    const padded = (bytes: number) => '{"command":"stats"}'.padEnd(bytes, ' ');
    const socket = await connected(path);
    expect(await socket.ask(padded(65_536))).toMatchObject({ ok: true });
    expect(await socket.ask(padded(65_537))).toEqual(tooLong);
    socket.send('{"command":"stats"}\n');
    expect(await socket.closed).toHaveLength(2);
    expect(await askControl(path, { command: 'stats' })).toMatchObject({ ok: true });
  });

  it('stops at a line without end', async () => {
    const socket = await connected(path);
    socket.send('x'.repeat(10_000_000));
    expect(await socket.closed).toEqual([tooLong]);
  });

  it('takes a line in single bytes, and several in one piece', async () => {
    const socket = await connected(path);
    for (const byte of Buffer.from('{"command":"ps"}\r\n')) {
      await new Promise((sent) => socket.socket.write(Buffer.of(byte), sent));
    }
    expect(await socket.atLeast(1)).toEqual([{ ok: true, result: { entries: [], more: false } }]);
    socket.send('{"command":"ps"}\nx\n{"command":"ps"}\n');
    expect((await socket.atLeast(4)).map(({ ok }) => ok)).toEqual([true, true, false, true]);
  });
});
