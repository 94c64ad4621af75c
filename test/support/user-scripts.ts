import { notePrelude } from './notes.ts';

/** A proxy in which the user of To says what becomes of a call; X-Then what a worker does with it. */
export const userDefinition = `
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=work;workers=1', 'name=full;workers=1;nonblock=1;maxQueue=1'],
  modparam: { async: { max_sleep: 31536000 } },
  requestRoute: (msg) => run(msg, msg.toUser),
  route: {
    END(msg) { note(msg.callId); msg.sendReply(404); },
    WORKER: (msg) => run(msg, msg.header('X-Then')),
    SPIN() { note('spins'); spinUntilReleased(); },
    TELL: tell,
    EDIT: edit,
  },`;

export const userPrelude = `${notePrelude}
  const delayOf = (msg) => Number(/;d=(\\d+)/.exec(msg.ruri)?.[1] ?? 0);
  const code = (msg) => msg.asyncError?.code.slice(13) ?? null;
  const scripts = {
    worker(msg) { msg.asyncTaskGroupRoute('WORKER', 'work'); },
    settle(msg) { msg.sendReply(200); },
    route(msg) { msg.asyncMsRoute('END', delayOf(msg)); },
    task(msg) { msg.asyncTaskRoute('END'); },
    long(msg) { msg.asyncSleep(60); },
    async sleep(msg) { if (await msg.asyncMsSleep(delayOf(msg))) { note(msg.callId); msg.sendReply(404); } },
    async never(msg) { msg.tNewtran(); await new Promise(() => undefined); },
    async days(msg) { note([await msg.asyncSleep(30 * 24 * 3600), code(msg)]); },
    async zero(msg) { msg.sendReply(200, [msg.asyncRoute('END', 0), code(msg), await msg.asyncSleep(0), code(msg),
      msg.asyncMsRoute('END', 0), await msg.asyncMsSleep('0'), code(msg)].join()); },
    async loop(msg) {
      let left = 0;
      for (let i = 0; i < 100; i += 1) left += await msg.asyncMsSleep(1) ? 1 : 1000;
      msg.sendReply(200, String(left));
    },
    async late(msg) {
      msg.sendReply(183);
      spinUntilReleased();
      await new Promise((done) => setTimeout(done, 1));
      note([msg.signal.aborted, msg.signal.reason?.code.slice(13), msg.sendReply(200), code(msg)]);
    },
    full(msg) {
      const call = [msg.asyncTaskGroupRoute('END', 'full'), code(msg)];
      const task = [msg.asyncTaskGroupData('SPIN', 'full', ''), code(msg)];
      msg.sendReply(503, [...call, ...task].join());
    },
    throws() { throw new Error('thrown'); },
    async rejects(msg) { await msg.asyncMsSleep(2); throw new Error('thrown'); },
    nothing() {},
    edits: edit,
  };
  function run(msg, what) { return scripts[what](msg); }
  /** Edits the message on each of five runs, and goes on by the way that X-Way names. */
  function edit(msg) {
    const left = msg.avp.get('left') ?? 5;
    if (left === 0) return tell(msg);
    msg.avp.set('left', left - 1).add('all', left);
    msg.xavp.set('last', { left });
    msg.flags.set(left);
    if (left % 2 === 1) msg.ruri = 'sip:' + left + '@' + left + '.example.com';
    if (left === 4) msg.du = 'sip:10.0.0.4';
    if (left === 3) msg.body = Buffer.from('body ' + left);
    msg.appendHf('X-Left: ' + left);
    const way = msg.header('X-Way');
    if (way === 'slow') msg.asyncMsRoute('EDIT', 5);
    if (way === 'fast') msg.asyncTaskGroupRoute('EDIT', 'work');
    if (way === 'mixed' && left % 2 === 0) return msg.asyncMsSleep(2).then(() => msg.asyncTaskRoute('EDIT'));
    msg.asyncTaskRoute('EDIT');
  }
  function tell(msg) {
    msg.sendReply(200, JSON.stringify([msg.avp.getAll('all'), msg.xavp.get('last'), msg.flags.value, msg.ruri, msg.du, msg.body,
      Object.keys(msg.var), msg.method]));
  }`;
