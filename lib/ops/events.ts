import { BroadcastChannel } from 'node:worker_threads';
import { checkText } from '../tm/arguments.ts';
import { makeOperation, onAbort, stoppedBy } from './operation.ts';
import type { Operation } from './operation.ts';

/** What one thread tells the others. */
interface Raised {
  readonly name: string;
  readonly key: string;
  readonly data: unknown;
  /** When it was raised, by the clock that all threads of the process share, in ns. */
  readonly atNs: bigint;
}

interface Waiter {
  /** When it began to wait, by the same clock. */
  readonly sinceNs: bigint;
  readonly tell: (data: unknown) => void;
}

// The number is that of the message's form: another version of the package in the same process may have another.
const CHANNEL = 'sip-async.events.1';

/** Waiters of this thread, by name and key. */
const waiting = new Map<string, Set<Waiter>>();
let waiters = 0;
let channel: BroadcastChannel | undefined;

// The length tells where the name ends, whatever characters both have.
const placeOf = (name: string, key: string) => `${name.length}:${name}${key}`;

/** From here on this thread hears what others raise: the channel is known to them when its constructor returns. */
function openChannel(): BroadcastChannel {
  if (channel === undefined) {
    channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = (event) => tell((event as { data: Raised }).data);
    // Who waits for an event alone does not keep the process or the thread alive.
    channel.unref();
  }
  return channel;
}

function tell({ name, key, data, atNs }: Raised): void {
  const place = placeOf(name, key);
  for (const waiter of waiting.get(place) ?? []) {
    // One that came while the message was on its way waits for the next.
    if (waiter.sinceNs > atNs) continue;
    waiter.tell(structuredClone(data));
  }
}

/**
 * Waits for the next {@link raise} of this name and key in any thread of the process (`wait_for_event` of OpenSIPS'
 * event_routing): a push notification is sent, say, and the call goes on when the phone has registered. Name and key are any
 * text; both must be the same.
 *
 * Resolves to a copy of the data that was raised. What was raised before it began to wait is not heard. Rejects with `ABORTED`
 * after its signal; there is no limit on how long it waits but that. It does not keep a process alive by itself.
 *
 * @throws TypeError when an argument is no string
 */
export function waitForEvent<T = unknown>(name: string, key: string): Operation<T> {
  checkText(name, 'name');
  checkText(key, 'key');
  const place = placeOf(name, key);
  return makeOperation(
    (signal) =>
      new Promise<T>((resolve, reject) => {
        openChannel();
        const others = waiting.get(place) ?? new Set<Waiter>();
        waiting.set(place, others);
        const leave = () => {
          waiters -= 1;
          others.delete(waiter);
          if (others.size === 0) waiting.delete(place);
          stopListening();
        };
        const waiter: Waiter = {
          sinceNs: process.hrtime.bigint(),
          tell: (data) => {
            leave();
            resolve(data as T);
          },
        };
        const stopListening = onAbort(signal, () => {
          leave();
          reject(stoppedBy(signal));
        });
        others.add(waiter);
        waiters += 1;
      }),
  );
}

/**
 * Tells all who wait for an event of this name and key, in every thread of the process; each gets a copy of the data. With
 * nobody waiting it is lost, as in OpenSIPS.
 *
 * Nothing is lost on the way: who began to wait before this was called hears of it, and who began after does not, also when the
 * message is still on its way to that thread. What one thread raises arrives in its order; what two threads raise, in any
 * order. How many were told is not returned: other threads hear of it when they come round to it, and who waits there may give
 * up before.
 *
 * @param data anything that `structuredClone` takes
 * @throws TypeError when the name or the key is no string, or the data cannot be copied; nobody was told then
 */
export function raise(name: string, key: string, data?: unknown): void {
  checkText(name, 'name');
  checkText(key, 'key');
  const raised: Raised = { name, key, data, atNs: process.hrtime.bigint() };
  try {
    // Before anyone here is told: data that cannot be copied must reach nobody.
    openChannel().postMessage(raised);
  } catch (cause) {
    throw new TypeError(`data: ${cause instanceof Error ? cause.message : 'cannot be copied'}`, { cause });
  }
  tell(raised);
}

/** How many wait for an event in this thread. */
export function eventWaiters(): number {
  return waiters;
}
