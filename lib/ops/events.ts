import { native } from '../binding.ts';
import { checkText } from '../tm/arguments.ts';
import { pack, unpack } from './event-data.ts';
import type { Parcel } from './event-data.ts';
import { makeOperation, onAbort, stoppedBy } from './operation.ts';
import type { Operation } from './operation.ts';

type Tell = (data: unknown) => void;

/** Waiters of this thread by the ticket that they share: who waits for one event from between the same two raises of it. */
const waiting = new Map<number, Set<Tell>>();
let waiters = 0;
/** Of the addon; 0 until somebody waits in this thread. */
let listener = 0;

// The length tells where the name ends, whatever characters both have.
const placeOf = (name: string, key: string) => `${name.length}:${name}${key}`;

/** Tells all who hold a ticket; nobody does when they gave up while it was on its way. */
function tellAll(ticket: number, parcel: Parcel): void {
  for (const tell of waiting.get(ticket) ?? []) tell(unpack(parcel));
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
        listener ||= native.noticeListen((ticket, data, isPacked) => tellAll(ticket, { data, isPacked }));
        const ticket = native.noticeAwait(listener, place);
        const others = waiting.get(ticket) ?? new Set<Tell>();
        waiting.set(ticket, others);
        const leave = () => {
          waiters -= 1;
          others.delete(tell);
          if (others.size === 0) waiting.delete(ticket);
          stopListening();
        };
        const tell: Tell = (data) => {
          leave();
          resolve(data as T);
        };
        const stopListening = onAbort(signal, () => {
          leave();
          if (others.size === 0) native.noticeForget(place, ticket);
          reject(stoppedBy(signal));
        });
        others.add(tell);
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
 * @param data anything that `structuredClone` copies by itself: no shared memory, no WebAssembly module, and none of the classes
 *   of Node that it carries, as `Blob` or `KeyObject`
 * @throws TypeError when the name or the key is no string, or the data cannot be copied; nobody was told then
 */
export function raise(name: string, key: string, data?: unknown): void {
  checkText(name, 'name');
  checkText(key, 'key');
  let parcel: Parcel;
  try {
    parcel = pack(data);
  } catch (cause) {
    throw new TypeError(`data: ${cause instanceof Error ? cause.message : 'cannot be copied'}`, { cause });
  }
  const ticket = native.noticeRaise(listener, placeOf(name, key), parcel.data, parcel.isPacked);
  if (ticket !== 0) tellAll(ticket, parcel);
}

/** How many wait for an event in this thread. */
export function eventWaiters(): number {
  return waiters;
}
