import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';

/** What cannot be told in a reply, because the message may not be replied to any more, is asked for afterwards. */
const prelude = `
  const notes = [];
  const attempt = (action) => {
    try { return action(); } catch (error) { return error.code ?? String(error); }
  };
  const code = (msg) => msg.asyncError?.code ?? null;
  const tell = (msg) => {
    msg.appendToReply('X-Notes: ' + JSON.stringify(notes.splice(0)));
    msg.sendReply(200);
  };`;

const resume = `
  RESUME(msg) {
    msg.appendToReply('X-Thread: ' + threadId);
    msg.sendReply(404);
  },
  OTHER(msg) { msg.sendReply(599, 'The refused one'); },`;

/** Everything noted until a script notes 'done'. */
async function notesOf(running: RunningProxy): Promise<unknown[]> {
  const notes: unknown[] = [];
  await eventually(async () => {
    const answer = await running.ask({ method: 'OPTIONS', user: 'notes' });
    notes.push(...(JSON.parse(answer.header('x-notes')) as unknown[]));
    return notes.at(-1) === 'done';
  });
  return notes.slice(0, -1);
}

async function expectResumedOnce(running: RunningProxy, user: string): Promise<void> {
  const call = running.client.request({ user, autoAck: true });
  const final = await call.final();
  expect(final.status).toBe(404);
  expect(final.header('x-thread')).toMatch(/^[1-9]\d*$/);
  expect(call.elapsedMs(final)).toBeGreaterThanOrEqual(60);
  await becomesIdle(running.proxy);
  expect(call.responses.map((response) => response.status)).toEqual([100, 404]);
}

const suspended = 'SIPASYNC_ERR_SUSPENDED';
const already = 'SIPASYNC_ERR_ALREADY_SUSPENDED';

describe('modparam async return=1', () => {
  const running = useProxy(
    `
    modparam: { async: { return: 1 } },
    asyncWorkers: 1,
    async requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      const callId = msg.callId;
      notes.push(msg.asyncMsRoute('RESUME', 60), code(msg));
      notes.push(msg.asyncMsRoute('OTHER', 10), code(msg));
      notes.push(msg.asyncRoute('OTHER', 1), code(msg), msg.asyncTaskRoute('OTHER'), code(msg));
      notes.push(await msg.asyncMsSleep(1), code(msg), await msg.asyncSleep(1), code(msg));
      notes.push(attempt(() => msg.sendReply(200)), attempt(() => msg.slSendReply(200)), attempt(() => msg.tNewtran()));
      notes.push(attempt(() => msg.appendToReply('X: 1')), msg.callId === callId, 'done');
    },
    route: {${resume}
    },`,
    { prelude },
  );

  it('goes on behind the suspension, which cannot be made twice, and cannot reply', async () => {
    await expectResumedOnce(running, 'alice');
    expect(await notesOf(running)).toEqual([
      true, null, false, already, false, already, false, already, false, already, false, already,
      suspended, suspended, suspended, suspended, true,
    ]);
  });
});

describe('modparam async return=-1', () => {
  const running = useProxy(
    `
    modparam: { async: { return: -1 } },
    requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      notes.push(msg.asyncMsRoute('RESUME', 60), code(msg), msg.asyncMsRoute('OTHER', 10), code(msg));
      notes.push(msg.asyncMsRoute('NOPE', 10), code(msg), attempt(() => msg.sendReply(200)), 'done');
    },
    route: {${resume}
    },`,
    { prelude },
  );

  it('says false though the call is suspended', async () => {
    await expectResumedOnce(running, 'alice');
    expect(await notesOf(running)).toEqual([false, null, false, already, false, already, suspended]);
  });
});

describe('a script that swallows the signal', () => {
  const actions = [
    "msg.sendReply(200)", 'msg.tReply(200)', 'msg.slSendReply(200)', 'msg.slReplyError()', "msg.appendToReply('X: 1')",
    'msg.tNewtran()', 'msg.exit()', 'msg.drop()', "msg.asyncRoute('OTHER', 1)", "msg.asyncMsRoute('OTHER', 1)",
    "msg.asyncTaskRoute('OTHER')", "msg.asyncTaskGroupRoute('OTHER', 'default')",
  ];
  const running = useProxy(
    `
    asyncWorkers: 1,
    requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      const all = () => {
        ${actions.map((action) => `notes.push(attempt(() => ${action}));`).join('\n')}
      };
      const end = () => msg.toUser === 'task' ? msg.asyncTaskRoute('LATE') : msg.asyncMsRoute('RESUME', 60);
      if (msg.toUser === 'async') {
        return (async () => {
          try { end(); } catch (signal) { notes.push(signal instanceof Error); }
          await Promise.resolve();
          all();
          notes.push(await msg.asyncMsSleep(1).catch((error) => error.code), 'done');
        })();
      }
      try { end(); } catch (signal) { notes.push(signal instanceof Error); }
      all();
      notes.push('end', 'done');
    },
    route: {${resume}
      LATE(msg) { msg.asyncMsRoute('RESUME', 60); },
    },`,
    { prelude },
  );

  it.each([
    ['sync', 'end'],
    ['task', 'end'],
    ['async', suspended],
  ])('can do nothing more with the message, and the call is resumed once: %s', async (user, last) => {
    await expectResumedOnce(running, user);
    expect(await notesOf(running)).toEqual([false, ...actions.map(() => suspended), last]);
  });
});

describe('a call that has its final reply', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    async requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      notes.push(msg.toUser === 'stateless' ? msg.slSendReply(404) : msg.sendReply(404), code(msg));
      notes.push(msg.sendReply(200), code(msg), msg.sendReply(180), code(msg), msg.tReply(200), code(msg));
      notes.push(msg.slSendReply(200), code(msg), msg.slReplyError(), code(msg), msg.tNewtran(), code(msg));
      notes.push(msg.asyncRoute('OTHER', 1), code(msg), msg.asyncMsRoute('OTHER', 1), code(msg));
      notes.push(msg.asyncTaskRoute('OTHER'), code(msg), msg.asyncTaskGroupRoute('OTHER', 'default'), code(msg));
      notes.push(await msg.asyncSleep(1), code(msg), await msg.asyncMsSleep(1), code(msg), 'done');
    },
    route: {${resume}
    },`,
    { prelude },
  );

  it.each(['stateful', 'stateless'])('is neither answered again nor suspended: %s', async (user) => {
    for (const method of ['INVITE', 'OPTIONS']) {
      const call = running.client.request({ user, method, autoAck: true });
      await call.final();
      const refused = Array.from({ length: 12 }, () => [false, 'SIPASYNC_ERR_ALREADY_ANSWERED']);
      expect(await notesOf(running)).toEqual([true, null, ...refused.flat()]);
      await becomesIdle(running.proxy);
      expect(call.finals.map((response) => response.status)).toEqual([404]);
    }
  });
});

describe('a message whose route has ended', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      setTimeout(async () => {
        notes.push(attempt(() => msg.sendReply(200)), attempt(() => msg.exit()), attempt(() => msg.tNewtran()));
        notes.push(msg.asyncMsRoute('OTHER', 1), code(msg), await msg.asyncMsSleep(1), code(msg), 'done');
      }, 20);
      if (msg.toUser === 'suspended') msg.asyncMsRoute('RESUME', 60);
      msg.sendReply(404);
    },
    route: {${resume}
    },`,
    { prelude },
  );
  const stale = 'SIPASYNC_ERR_STALE_HANDLE';

  it.each(['answered', 'suspended'])('is a typed no-op, and harms nobody: %s', async (user) => {
    const call = running.client.request({ user, autoAck: true });
    expect((await call.final()).status).toBe(404);
    expect(await notesOf(running)).toEqual([stale, stale, stale, false, stale, false, stale]);
    expect(call.finals).toHaveLength(1);
    await becomesIdle(running.proxy);
  });
});

describe('an ACK that belongs to nothing', () => {
  const running = useProxy(
    `
    asyncWorkers: 1,
    async requestRoute(msg) {
      if (msg.toUser === 'notes') return tell(msg);
      notes.push(msg.method, msg.asyncRoute('OTHER', 1), code(msg), msg.asyncMsRoute('OTHER', 1), code(msg));
      notes.push(msg.asyncTaskRoute('OTHER'), code(msg), msg.asyncTaskGroupRoute('OTHER', 'default'), code(msg));
      notes.push(await msg.asyncSleep(1), code(msg), await msg.asyncMsSleep(1), code(msg), msg.tNewtran(), code(msg));
      notes.push(msg.sendReply(200), code(msg), msg.slSendReply(200), code(msg), 'done');
    },
    route: {${resume}
    },`,
    { prelude },
  );

  it('reaches requestRoute and can be neither suspended nor answered', async () => {
    running.client.send(running.client.build({ method: 'ACK', toTag: 'of-somebody-else' }));
    const refused = Array.from({ length: 9 }, () => [false, 'SIPASYNC_ERR_NO_TRANSACTION']);
    expect(await notesOf(running)).toEqual(['ACK', ...refused.flat()]);
    await becomesIdle(running.proxy);
    expect(running.client.strays).toEqual([]);
  });
});
