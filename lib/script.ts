import { SLOT_KIND } from './async/data-task.ts';
import type { GroupConfig } from './config/groups.ts';
import type { RouteHandler } from './define-proxy.ts';
import { native } from './binding.ts';
import { Message } from './message.ts';
import { CANCEL_EVENT, PRE_ROUTING_EVENT } from './runtime.ts';
import type { Runtime } from './runtime.ts';
import { SCRIPT_END } from './script-end.ts';
import type { OperationOutcome } from './statements/operation.ts';
import { NO_ROUTE, ROUTE_TYPE } from './tm/route-type.ts';
import type { RouteType } from './tm/route-type.ts';
import { TaskRoom } from './workers/room.ts';
import { TaskBytes } from './workers/task-bytes.ts';

const { record: RECORD, outcome: OUTCOME } = native.constants;
const MARK = OUTCOME.mark;
const OPTIONS = native.constants.methods.indexOf('OPTIONS');

/** Records that one batch holds; at least as many as the addon reads datagrams at a time. */
const BATCH = 128;

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}

/**
 * Runs routes: the only place that does. It knows the signal by which a script ends, the 500 for a route that ends
 * with nothing, and the log line for one that throws.
 */
export class Script {
  readonly records = new Uint32Array(BATCH * RECORD.words);
  readonly #runtime: Runtime;
  /** Messages of asynchronous handlers that have not settled, by slot. */
  readonly #running = new Map<number, Message>();
  /** Those of them whose handler has returned while a sleep that it did not wait for goes on. */
  readonly #left = new Set<Message>();
  readonly #room: TaskRoom;
  readonly #taskBytes = new TaskBytes();
  /** Number of the record that is being run. */
  #record = 0;

  /** @param group the group that this thread works for */
  constructor(runtime: Runtime, group?: Pick<GroupConfig, 'usleepUs' | 'concurrency'>) {
    this.#runtime = runtime;
    runtime.runBranch = (index, generation, method, route, prepare) => {
      const name = runtime.config.routes.branchRoute[route]!;
      const branch = SLOT_KIND.branch;
      const message = new Message(runtime, index, generation, method, name, branch, false, ROUTE_TYPE.branch);
      prepare(message);
      const outcome = this.#run(message, runtime.branchRoutes[route]);
      if (outcome !== OUTCOME.pending) native.finish(runtime.channel, index, generation, outcome);
      return outcome === OUTCOME.dropped;
    };
    runtime.report = (index, generation, route, outcome, text) => {
      const ended = this.#report(index, generation, route, outcome, text);
      if (ended !== OUTCOME.pending) native.finish(runtime.channel, index, generation, ended);
    };
    this.#room = new TaskRoom(
      group,
      () => this.#running.size,
      (room) => native.channelRun(runtime.channel, room),
    );
  }

  /** To be called once the channel is open. */
  begin(): void {
    this.#room.begin();
  }

  /** Called by the addon with `count` records. Returns how many more tasks it may bring; 0 is a pause until `channelRun`. */
  readonly onBatch = (count: number): number => {
    const records = this.records;
    for (let i = 0, at = 0; i < count; i += 1, at += RECORD.words) {
      const info = records[at + 2]!;
      this.#record = i;
      const outcome = this.#runRecord(info, records[at]!, records[at + 1]!, records[at + 3]!);
      records[at + 2] = (outcome | MARK) >>> 0;
    }
    this.#taskBytes.renew(this.#runtime.channel);
    return this.#room.afterBatch();
  };

  #runRecord(info: number, index: number, generation: number, route: number): number {
    const kind = info & 0xff;
    const method = (info >> 8) & 0xff;
    if (kind === RECORD.request) {
      const message = new Message(this.#runtime, index, generation, method, 'requestRoute');
      if ((info & RECORD.sworker) !== 0) this.#beginSworker(message);
      return this.#run(message, this.#runtime.requestRoute);
    }
    const hasStored = (info & RECORD.variables) !== 0;
    const routeType = ((info >> RECORD.routeTypeShift) & 3) as RouteType;
    const slotKind = routeType >= ROUTE_TYPE.reply ? SLOT_KIND.branch : SLOT_KIND.message;
    const { routes } = this.#runtime.config;
    if (kind === RECORD.preRouting) {
      const message = new Message(this.#runtime, index, generation, method, PRE_ROUTING_EVENT, SLOT_KIND.raw);
      message.beginPreRouting(route);
      return this.#run(message, this.#runtime.preRoute);
    }
    if (kind === RECORD.resume) {
      const name = routes.route[route]!;
      const message = new Message(this.#runtime, index, generation, method, name, slotKind, hasStored, routeType);
      message.resumeWith(this.#runtime.operations.resumed(index, generation));
      return this.#run(message, this.#runtime.routes[route]);
    }
    if (kind === RECORD.failure) {
      const name = routes.failureRoute[route]!;
      const message = new Message(this.#runtime, index, generation, method, name, slotKind, hasStored, routeType);
      message.beginFailureRoute();
      if ((info & RECORD.sworker) !== 0) this.#beginSworker(message);
      return this.#run(message, this.#runtime.failureRoutes[route]);
    }
    if (kind === RECORD.reply) {
      const name = routes.onreplyRoute[route] ?? 'replyRoute';
      const message = new Message(this.#runtime, index, generation, method, name, slotKind, hasStored, routeType);
      if ((info & RECORD.sworker) !== 0) this.#beginSworker(message);
      return this.#run(message, this.#replyHandler(route));
    }
    if (kind === RECORD.cancel) {
      const message = new Message(this.#runtime, index, generation, method, CANCEL_EVENT);
      if ((info & RECORD.sworker) !== 0) this.#beginSworker(message);
      return this.#run(message, this.#runtime.cancelRoute);
    }
    if (kind === RECORD.task) {
      const name = this.#runtime.config.routes.route[route]!;
      const message = new Message(this.#runtime, index, generation, OPTIONS, name, SLOT_KIND.task);
      message.beginTask(this.#taskBytes.take(this.records, this.#record * RECORD.words));
      return this.#run(message, this.#runtime.routes[route]);
    }
    if (kind === RECORD.event) {
      const name = this.#runtime.config.tkv.eventRoute ?? '';
      const message = new Message(this.#runtime, index, generation, OPTIONS, name, SLOT_KIND.event);
      return this.#run(message, this.#runtime.tkvRoute);
    }
    if (kind === RECORD.launch) {
      const outcome = this.#runtime.operations.launched(index, generation, (info & RECORD.continued) !== 0);
      return this.#report(index, generation, route, outcome, native.launchText(this.#runtime.channel, index, generation));
    }
    if (kind === RECORD.ended) this.#runtime.operations.ended(index, generation);
    // A sleeper comes back, or has ended; either way its own promise goes on.
    const message = this.#running.get(index);
    if (message === undefined || message.generation !== generation) return OUTCOME.pending;
    if (kind === RECORD.wake) message.wake();
    else message.abandon();
    if (this.#left.delete(message)) {
      // What waits for this sleep comes next, and after it the run is over.
      setImmediate(() => this.#settle(message, () => this.#end(message)));
    }
    return OUTCOME.pending;
  }

  /** Tells the report route of a launch, if it has one, what became of the operation. @returns the outcome for the addon */
  #report(index: number, generation: number, route: number, outcome: OperationOutcome, text: string | null): number {
    if (route === NO_ROUTE) return OUTCOME.ended;
    const name = this.#runtime.config.routes.route[route]!;
    const message = new Message(this.#runtime, index, generation, OPTIONS, name, SLOT_KIND.launch);
    message.resumeWith(outcome, text);
    return this.#run(message, this.#runtime.routes[route]);
  }

  /** Of a route that runs for a message that was handed over. */
  #beginSworker(message: Message): void {
    const { channel, xdata } = this.#runtime;
    message.beginSworker(xdata === null ? null : native.sworkerXdata(channel, this.#record));
  }

  /** The reply route that runs for all, and behind it the one that was armed. Ending the first does not end the second. */
  #replyHandler(route: number): RouteHandler | undefined {
    const { replyRoute, onreplyRoutes } = this.#runtime;
    if (replyRoute === undefined) return onreplyRoutes[route];
    if (route === NO_ROUTE) return replyRoute;
    const armed = onreplyRoutes[route];
    const goOn = (message: Message) => (message.goOnBehindExit() ? armed?.(message) : undefined);
    const goOnIfEnded = (message: Message, error: unknown) => {
      if (error !== SCRIPT_END) throw error;
      return goOn(message);
    };
    return (message) => {
      let result: unknown;
      try {
        result = replyRoute(message);
      } catch (error) {
        return goOnIfEnded(message, error);
      }
      if (!isThenable(result)) return goOn(message);
      return Promise.resolve(result).then(
        () => goOn(message),
        (error: unknown) => goOnIfEnded(message, error),
      );
    };
  }

  #run(message: Message, handler: RouteHandler | undefined): number {
    if (handler === undefined) {
      this.#runtime.logger.error({ route: message.route, callId: message.callId }, 'this thread has no such route');
      return OUTCOME.threw;
    }
    try {
      const result = handler(message);
      if (!isThenable(result)) return this.#end(message);
      message.goAsynchronous();
      this.#running.set(message.index, message);
      result.then(
        () => this.#settle(message, () => this.#end(message)),
        (error: unknown) => this.#settle(message, () => this.#fail(message, error)),
      );
      return OUTCOME.pending;
    } catch (error) {
      return this.#fail(message, error);
    }
  }

  #settle(message: Message, end: () => number): void {
    if (this.#running.get(message.index) === message) this.#running.delete(message.index);
    const outcome = end();
    if (outcome !== OUTCOME.pending) {
      native.finish(this.#runtime.channel, message.index, message.generation, outcome);
    }
    this.#room.afterRun();
  }

  /** A run came to its end. What it left behind decides what the addon has to do. */
  #end(message: Message): number {
    if (message.isSleeping) {
      this.#running.set(message.index, message);
      this.#left.add(message);
      return OUTCOME.pending;
    }
    const outcome = message.end();
    if (outcome !== OUTCOME.pending && message.lookup !== null) return this.#endLater(message, message.lookup, outcome);
    if (outcome !== OUTCOME.ended || message.isSettled) return outcome;
    if (message.answerFailure()) return outcome;
    // Ended with nothing: the addon answers 500 unless there is nobody to answer. It is told here, and not with the batch,
    // because only its answer says whether there is something to log.
    const callId = message.callId;
    if (native.finish(this.#runtime.channel, message.index, message.generation, OUTCOME.ended)) {
      this.#runtime.logger.warn({ route: message.route, callId }, 'the route ended without a reply; sent 500');
    }
    return OUTCOME.pending;
  }

  /** Ends a run whose message is still needed. */
  #endLater({ index, generation }: Message, lookup: Promise<void>, outcome: number): number {
    void lookup.then(() => native.finish(this.#runtime.channel, index, generation, outcome));
    return OUTCOME.pending;
  }

  #fail(message: Message, error: unknown): number {
    if (error === SCRIPT_END) return this.#end(message);
    this.#runtime.logger.error({ route: message.route, callId: message.callId, err: error }, 'the route threw');
    const outcome = message.end();
    const wanted = outcome === OUTCOME.ended ? OUTCOME.threw : outcome;
    return wanted !== OUTCOME.pending && message.lookup !== null ? this.#endLater(message, message.lookup, wanted) : wanted;
  }
}
