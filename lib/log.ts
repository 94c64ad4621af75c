import { destination, pino } from 'pino';
import type { Logger } from 'pino';
import type { LogLevel } from './config/limits.ts';

export type { Logger } from 'pino';

/**
 * The logger of one thread: JSON lines on standard error. It writes at once and from the thread itself, so that a line
 * is out before a thread that is in trouble is gone.
 */
export function makeLogger(level: LogLevel, thread: string): Logger {
  if (level === 'silent') return pino({ level });
  return pino({ level, base: { pid: process.pid, thread } }, destination({ fd: 2, sync: true }));
}
