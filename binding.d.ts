/**
 * The one contract between TypeScript and the native addon: flat functions over numbers, strings and typed arrays.
 *
 * TypeScript has checked every argument before it calls; the addon trusts types and checks only what could harm the
 * process (indexes, generations, lengths). A function that can be refused returns a status number of
 * `constants.status`; none throws, except where said.
 *
 * An `engine` is a number valid in the whole process. A `channel` is a number valid in the JavaScript environment that
 * opened it. A message is named by (index, generation) of its slot; `owner` is 1 while the caller is the thread that runs
 * its route and 0 otherwise (then the read takes a lock and copes with a call that has ended).
 */

export type Status = number;

export interface Constants {
  readonly version: number;
  /** Status names in camelCase -> number. */
  readonly status: Readonly<Record<StatusName, number>>;
  /** Kinds of record that a batch holds; three are bits of the third word: `continued`, waitingResume ended the suspension; `variables`, an earlier run saved some; `sworker`, it runs for a message that sworkerTask handed over. Behind them: words of a data task, where its bytes begin in the memory of channelTaskBytes, how many they are, and its number. */
  readonly record: { readonly words: number; readonly request: number; readonly resume: number; readonly wake: number; readonly ended: number; readonly task: number; readonly event: number; readonly failure: number; readonly reply: number; readonly cancel: number; readonly launch: number; readonly preRouting: number; readonly routeTypeShift: number; readonly continued: number; readonly variables: number; readonly sworker: number; readonly taskBegin: number; readonly taskSize: number; readonly taskNumber: number };
  /** In place of where the bytes of a task begin: `ask`, taskData has them; `noRoom`, the same until channelTaskBytes is called. */
  readonly taskBytes: { readonly ask: number; readonly noRoom: number };
  /** What the script writes over a record's third word when the run has ended; `mark` is the bit that says it did. */
  readonly outcome: { readonly pending: number; readonly ended: number; readonly threw: number; readonly dropped: number; readonly suspended: number; readonly mark: number };
  /** Fields for messageString. */
  readonly field: Readonly<Record<FieldName, number>>;
  /** Fields for messageNumber. */
  readonly number: Readonly<Record<NumberName, number>>;
  /** Method names by method number; '' for any other. */
  readonly methods: readonly string[];
  /** Names of the values that engineStats and groupStats write, in order. */
  readonly engineStats: readonly string[];
  readonly groupStats: readonly string[];
  readonly malformed: readonly string[];
  /**
   * Shared tables. `limits` and `stats` name the figures of sharedLimits and sharedStats, in order; `most...` is as far as
   * limits may go, `usual...` is what shv has; `entryBytes` is what an entry counts for besides its key and value.
   */
  readonly shared: { readonly limits: readonly string[]; readonly stats: readonly string[]; readonly mostTables: number; readonly mostEntries: number; readonly mostBytes: number; readonly usualEntries: number; readonly usualBytes: number; readonly entryBytes: number };
  /** Names the made-up request where there is no slot. */
  readonly noSlot: { readonly index: number; readonly generation: number };
  /** What became of an operation, for operationEnd. */
  readonly operation: { readonly done: number; readonly failed: number; readonly timedOut: number; readonly cancelled: number; readonly late: number; readonly refused: number };
  /** group number that stands for "the thread that suspended". */
  readonly ownThread: number;
  /** Names of the transports by number; the first, UDP, has no connections. */
  readonly transports: readonly ('udp' | 'tcp' | 'tls' | 'ws' | 'wss')[];
  /** Positions of what streamTake says of a message; `words` is how many words it wants. */
  readonly outgoing: { readonly words: number; readonly flow: number; readonly transport: number; readonly socket: number; readonly port: number; readonly nameBytes: number };
  /** The most that the data of a task, or the variables of a transaction, may take. */
  readonly maxDataBytes: number;
  /** Names of the values of one row of engineWaiting, in order. */
  readonly waiting: readonly string[];
}

export type StatusName =
  | 'ok' | 'staleHandle' | 'alreadySuspended' | 'notSuspended' | 'alreadyAnswered' | 'cancelled' | 'slotsExhausted'
  | 'groupFull' | 'noWorkers' | 'payloadTooLarge' | 'noTransaction' | 'closed' | 'notAnswerable' | 'unresolved' | 'unroutable'
  | 'tooManyHops' | 'loop';
export type FieldName =
  | 'method' | 'ruri' | 'callId' | 'fromUri' | 'fromUser' | 'fromTag' | 'toUri' | 'toUser' | 'toTag' | 'contact'
  | 'userAgent' | 'body' | 'srcIp' | 'cseqMethod' | 'reason';
export type NumberName = 'cseq' | 'srcPort' | 'maxForwards' | 'end' | 'transport';

export interface Binding {
  readonly constants: Constants;

  /** Starts to put an engine together. Returns its number. */
  engineCreate(receivers: number, maxTransactions: number, maxMessageBytes: number, t1Ms: number, t2Ms: number, waitMs: number, auto100: boolean, addresses: number, frMs: number, frInvMs: number, hasCancelEvent: boolean, hasReplyRoute: boolean, hasPreRouting: boolean): number;
  /** Before engineBuild. A sourceRate of 0 sets no limit on requests per source. */
  engineLimits(engine: number, maxHeaders: number, maxLineBytes: number, maxVias: number, sourceRate: number, sourceBurst: number): void;
  /** Returns the group's number: 0, 1, 2 … in the order of calls. Before engineBuild. */
  engineAddGroup(engine: number, name: string, workers: number, nonblock: boolean, usleepUs: number, maxQueue: number): number;
  /** Maps the memory. Throws when the address space cannot be had. */
  engineBuild(engine: number): void;
  /**
   * Opens a socket; they are numbered address * receivers + receiver. `advertised` is the host that others know it by, or ''.
   * Returns the port, or the negative errno.
   */
  engineListen(engine: number, socket: number, host: string, port: number, receiveBufferBytes: number, share: boolean, advertised: string): number;
  /** Another name of the proxy, before engineStart; port 0 is any. */
  engineAddAlias(engine: number, host: string, port: number): void;
  /** Makes known what a socket number of a stream listener stands for: address * receivers. False for a host that is no address. */
  engineListenStream(engine: number, socket: number, transport: number, host: string, port: number, advertised: string): boolean;
  /** Starts ticker and stand-in. */
  engineStart(engine: number): void;
  /** New requests get 503 from now on; with `tasks` no data task or event is taken either. */
  engineStopIntake(engine: number, tasks: boolean): void;
  /** Messages that wait for a route or are in one, and tasks. */
  engineInScript(engine: number): number;
  /** Ends whatever is in a script with this reply. Returns how many calls that were. */
  engineConcludeAll(engine: number, code: number, reason: string): number;
  /** Ends the data tasks and events that wait. Returns how many that were. */
  engineDropTasks(engine: number): number;
  /** Ends the launches that no thread can report any more. Returns how many that were. */
  engineDropLaunches(engine: number): number;
  /** Writes a row of `constants.waiting` for each call and task that waits, as far as there is room; returns how many. */
  engineWaiting(engine: number, out: Float64Array): number;
  /** A thread is gone: what it was running or had asleep gets 500, its tasks end. Returns how many those were. */
  engineThreadGone(engine: number, thread: number): number;
  /** Ends the native threads and closes the sockets. */
  engineStop(engine: number): void;
  engineStats(engine: number, out: Float64Array): void;
  groupStats(engine: number, group: number, out: Float64Array): void;
  malformedStats(engine: number, out: Float64Array): void;

  /**
   * Connects this environment to an engine as thread number `thread` (receivers first, then the workers group by
   * group); `group` is -1 for a receiver. `onBatch(count)` is called with `count` records of `constants.record.words`
   * words each in `records`: index, generation, kind | method << 8 | continued | variables, route. Returns the channel's number.
   */
  channelOpen(engine: number, thread: number, group: number, worker: number, records: Uint32Array, onBatch: (count: number) => number): number;
  /** Receivers: starts to read the sockets. */
  channelListen(channel: number): void;
  /** `onBatch` returns how many more tasks of its group the script has room for, 0 for a pause; this ends the pause. */
  channelRun(channel: number, taskRoom: number): void;
  /** From now on the bytes of small data tasks are laid one behind the other into `memory`, which is the addon's to write until the next call. */
  channelTaskBytes(channel: number, memory: Uint8Array): void;
  /** Keeps the event loop alive (true) or not. */
  channelRef(channel: number, ref: boolean): void;
  channelClose(channel: number): void;

  /**
   * Streams. Connections belong to thread 0; a flow is a connection's number, never 0. `onOutgoing()` is called when streamTake
   * has something to give.
   */
  streamOpen(channel: number, onOutgoing: () => void): void;
  /** A whole message of a connection. A new request goes to the receivers in turn. False when host is no address. */
  streamReceive(channel: number, socket: number, flow: number, transport: number, host: string, port: number, bytes: Uint8Array): boolean;
  /** The headers of a request whose length cannot be told, and so the last of its stream: answered, if it can be. */
  streamReject(channel: number, socket: number, flow: number, transport: number, host: string, port: number, bytes: Uint8Array, code: number, reason: string): boolean;
  /**
   * The next message to be sent, or null. `out` gets what constants.outgoing says. A flow of 0 wants a connection to the host
   * (streamHost) and port, and so does a flow that is gone; the first `nameBytes` bytes are the name that a TLS server must have.
   */
  streamTake(channel: number, out: Uint32Array): Buffer | null;
  /** The host of the message that streamTake described in `out`, as text. */
  streamHost(out: Uint32Array): string;
  /** There was no connection to send this message of streamTake by. */
  streamUndelivered(channel: number, bytes: Uint8Array): void;
  /** Nothing is taken to be sent any more; what waits is dropped. */
  streamStop(channel: number): void;

  reply(channel: number, index: number, generation: number, code: number, reason: string, extraLines: string, stateless: boolean): Status;
  newTransaction(channel: number, index: number, generation: number): Status;
  /** `group` may be constants.ownThread; then `route` is ignored and a record of kind `wake` comes back to this thread. */
  suspend(channel: number, index: number, generation: number, route: number, group: number, delayMs: number, roundMs: number): Status;
  queueTask(channel: number, index: number, generation: number, route: number, group: number): Status;
  /** Ends a run outside of a batch. True when the call got its 500. */
  finish(channel: number, index: number, generation: number, outcome: number): boolean;

  /**
   * A data task (`kind` 1) or an event (2) for a route in a group, now or after `delayMs`. `data` and the two numbers come
   * back by taskData and taskNumbers, in the thread that runs it. The handle is written into `handle`, if it is wanted.
   */
  taskSubmit(channel: number, kind: number, route: number, group: number, data: string | Uint8Array, number: number, split: number, delayMs: number, handle?: Uint32Array): Status;
  taskData(channel: number, index: number, generation: number): string | Buffer | null;
  taskNumbers(channel: number, index: number, generation: number, out: Uint32Array): void;
  /** Ends what waits: a call with this reply, a task without one. */
  waitingCancel(channel: number, index: number, generation: number, code: number, reason: string): Status;
  /** What is suspended goes on now. */
  waitingResume(channel: number, index: number, generation: number): Status;
  /** Keeps bytes with a transaction, by the thread that runs its route; an empty array forgets them. */
  variablesSave(channel: number, index: number, generation: number, bytes: Uint8Array): Status;
  variablesLoad(channel: number, index: number, generation: number): Buffer | null;

  /**
   * Hands a raw message (a record of kind `preRouting`, whose last word is the status of a reply or 0) over to a group, with a
   * text for the route that it will run. Other than `ok`, nothing has happened.
   */
  sworkerTask(channel: number, index: number, generation: number, group: number, xdata: string): Status;
  /** The text that came along with what record `number` of the present batch runs for; null when there is none. */
  sworkerXdata(channel: number, number: number): string | null;

  /**
   * Sends the request on: another branch. `ruri` '' is the message's own, `destination` '' is where that leads; `removedNames`
   * are names, each ended by \n, `appendedLines` whole lines; a `body` of null leaves it; a route of 65535 is none. With status
   * `unresolved` the branch in `handle` waits for branchSendTo or branchFail, and branchTarget() is the URI to look up.
   */
  relay(channel: number, index: number, generation: number, ruri: string, destination: string, removedNames: string, appendedLines: string, body: string | Uint8Array | null, recordsRoute: boolean, onFailure: number, onReply: number, handle: Uint32Array): Status;
  /** The same without a transaction. `unresolved` when it goes to a name, as for relay of an ACK: nothing waits then. */
  forward(channel: number, index: number, generation: number, ruri: string, destination: string, removedNames: string, appendedLines: string, body: string | Uint8Array | null, recordsRoute: boolean, onFailure: number, onReply: number, serverName: string): Status;
  /** A branch that runs in this thread, for its branch route; branchRelay ends that run and sends it. */
  branchOpen(channel: number, index: number, generation: number, onFailure: number, onReply: number, handle: Uint32Array): Status;
  branchRelay(channel: number, index: number, generation: number, ruri: string, destination: string, removedNames: string, appendedLines: string, body: string | Uint8Array | null, recordsRoute: boolean, onFailure: number, onReply: number): Status;
  branchTarget(): string;
  /** `hops`: lines as "udp 192.0.2.1 5060", in the order to try; `name`: whom a TLS certificate must be for. */
  branchSendTo(channel: number, index: number, generation: number, hops: string, name: string): Status;
  /** The branch has failed as if this reply had come. */
  branchFail(channel: number, index: number, generation: number, code: number): Status;
  /** Ends the run of a reply route and passes the reply on with these changes. */
  replyForward(channel: number, index: number, generation: number, removedNames: string, appendedLines: string, body: string | Uint8Array | null): void;
  /** What a failure route runs for, or the status of the reply in a reply route; else 0. */
  statusOf(channel: number, index: number, generation: number): number;
  isCancelled(channel: number, index: number, generation: number): boolean;
  /** The value of Reason in the CANCEL that ended the call, or ''. */
  cancelReason(channel: number, index: number, generation: number): string;

  /** The variables of a branch's call, for its reply route; and what that set, saved for the call. */
  variablesShared(channel: number, index: number, generation: number): Buffer | null;
  variablesShare(channel: number, index: number, generation: number, bytes: Uint8Array): void;
  hasTransaction(channel: number, index: number, generation: number): boolean;

  /** A suspension that continueWith ends. Its number is written into `out` for suspendUndo. */
  suspendOpen(channel: number, index: number, generation: number, mostMs: number, onFailure: number, out: Uint32Array): Status;
  suspendUndo(channel: number, index: number, generation: number, suspension: number): Status;
  /** `group` may be constants.ownThread: the receiver that the call came in by. */
  continueWith(channel: number, index: number, generation: number, route: number, group: number): Status;

  /**
   * Waits for an operation of this thread: waitingResume ends it, or `mostMs`. Either way the route runs here, by a record of kind
   * `resume` that is marked as continued in the first case. It counts as pending until operationEnd.
   */
  operationSuspend(channel: number, index: number, generation: number, route: number, mostMs: number): Status;
  /**
   * An operation that no call waits for: the same with a record of kind `launch`, also when waitingCancel ends it. A route of 65535
   * is none. The handle is written into `handle`.
   */
  launchStart(channel: number, route: number, mostMs: number, text: string | null, handle: Uint32Array): Status;
  /** A launch that waits is this thread's to report now; no record of it will come. */
  launchTake(channel: number, index: number, generation: number): Status;
  launchText(channel: number, index: number, generation: number): string | null;
  /** Counts what became of an operation; `wasPending`: one that was started here and not yet counted. */
  operationEnd(channel: number, how: number, wasPending: boolean): void;

  /** null: not there, or the call has ended (see messageIsCurrent). Folded lines are joined. */
  messageString(channel: number, index: number, generation: number, owner: number, field: number): string | null;
  messageNumber(channel: number, index: number, generation: number, owner: number, field: number): number | null;
  /** The value of the header's `nth` line (0 is the first), or null. */
  messageHeader(channel: number, index: number, generation: number, owner: number, name: string, nth: number): string | null;
  messageRaw(channel: number, index: number, generation: number, owner: number): Buffer | null;
  /** True when the guard lets the message through to a full parser. */
  messageIsTame(channel: number, index: number, generation: number, owner: number): boolean;
  messageIsCurrent(channel: number, index: number, generation: number): boolean;

  /**
   * Shared tables: a `table` is a number valid in the whole process for as long as it lives; 0 is shv's. `expireMs` is 0 for
   * never and -1 for what the table has.
   *
   * The table of this name; made with these limits unless there is one. -1: there are as many as there can be.
   */
  sharedOpen(name: string, maxEntries: number, maxBytes: number, expireMs: number, updateExpire: boolean): number;
  /** The limits the table was made with, in the order of constants.shared.limits. */
  sharedLimits(table: number, out: Float64Array): void;
  sharedGet(table: number, key: string): string | number | boolean | Buffer | null;
  sharedHas(table: number, key: string): boolean;
  /** False: there is no room, or there is an entry and only an absent one was to be set. */
  sharedSet(table: number, key: string, value: string | number | boolean | Uint8Array, expireMs: number, onlyIfAbsent: boolean): boolean;
  /** null: there is no room, the entry is no number, or the sum is beyond the safe integers. */
  sharedInc(table: number, key: string, by: number, expireMs: number): number | null;
  sharedDelete(table: number, key: string): boolean;
  sharedClear(table: number): void;
  /** Copies some entries, beginning with part 0: the next part (-1: that was all), then key, value, key, value … */
  sharedScan(table: number, part: number): (string | number | boolean | Buffer)[];
  /** In the order of constants.shared.stats. */
  sharedStats(table: number, out: Float64Array): void;

  /**
   * Notices: what is raised at a place is told to all who wait there, in every thread of the process. A place is any text; a lone
   * surrogate counts as itself.
   *
   * Listens for this environment and returns the listener's number, from 1. `onNotice` is called for each ticket that was told:
   * with the data as it was handed to noticeRaise, or a Uint8Array of our own, and whether it is packed. It does not keep the event
   * loop alive. Throws where Node refuses.
   */
  noticeListen(onNotice: (ticket: number, data: NoticeData, isPacked: boolean) => void): number;
  /** The ticket that the listener waits with at this place: the same until it is told or given back. */
  noticeAwait(listener: number, place: string): number;
  /** Gives a ticket back. */
  noticeForget(place: string, ticket: number): void;
  /**
   * Tells all who wait at this place, but the listener itself (0: there is none), whose ticket is returned; 0 when it has none. That
   * ticket counts as told.
   */
  noticeRaise(listener: number, place: string, data: NoticeData, isPacked: boolean): number;
}

export type NoticeData = undefined | null | boolean | number | string | Uint8Array;
