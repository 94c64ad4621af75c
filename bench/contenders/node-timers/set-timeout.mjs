// Node's own timers.
export const name = 'set-timeout';
export const title = 'setTimeout';
export const unavailable = () => '';
/** Its clock counts whole milliseconds from whole milliseconds, so it may be early by less than one. */
export const earlyMs = 1;

/** @type {import('../../node-timers-main.mjs').Open} */
export async function open({ most, onExpire }) {
  /** @type {(NodeJS.Timeout | undefined)[]} */
  const timers = new Array(most).fill(undefined);
  return {
    start(delayMs, id) {
      timers[id] = setTimeout(onExpire, delayMs, id);
    },
    cancel(id) {
      clearTimeout(timers[id]);
      timers[id] = undefined;
      return true;
    },
    close: async () => {},
  };
}
