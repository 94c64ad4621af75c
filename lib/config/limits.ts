/** The log levels of pino, from nothing to everything. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A whole number's range; both ends are allowed. */
export interface Limit {
  readonly min: number;
  readonly max: number;
}

const INT32_MAX = 2_147_483_647;
// Timers of tm are 32-bit milliseconds in Kamailio, too.
const TIMER_MS: Limit = { min: 0, max: INT32_MAX };

/** What each number of a configuration may be. */
export const LIMITS = {
  port: { min: 0, max: 65_535 },
  children: { min: 1, max: 64 },
  asyncWorkers: { min: 0, max: 256 },
  maxTransactions: { min: 1, max: 16_777_216 },
  // A datagram cannot be longer, and no SIP request fits into much less than the smaller number.
  maxMessageBytes: { min: 256, max: 65_535 },
  maxHeaders: { min: 16, max: 4_096 },
  maxLineBytes: { min: 256, max: 65_535 },
  maxVias: { min: 1, max: 256 },
  sourceRate: { min: 1, max: 1_000_000 },
  sourceBurst: { min: 1, max: 1_000_000 },
  recvBufferBytes: { min: 4_096, max: 1_073_741_824 },
  groupWorkers: { min: 1, max: 256 },
  groupUsleepUs: { min: 0, max: 10_000_000 },
  groupMaxQueue: { min: 1, max: 16_777_216 },
  groupConcurrency: { min: 1, max: 16_777_216 },
  groupNameBytes: { min: 1, max: 62 },
  moduleWorkers: { min: 0, max: 256 },
  msTimerMs: { min: 0, max: 30_000 },
  returnValue: { min: -INT32_MAX - 1, max: INT32_MAX },
  maxSleepSeconds: { min: 1, max: 31_536_000 },
  timerMs: TIMER_MS,
  // A retransmission timer of zero would send without end.
  retransmitMs: { min: 1, max: INT32_MAX },
  dnsTimeoutMs: { min: 1, max: 600_000 },
  maxSuspendMs: { min: 1, max: INT32_MAX },
} as const satisfies Record<string, Limit>;

/** What a definition that says nothing gets. */
export const DEFAULTS = {
  listen: 'udp:127.0.0.1:5060',
  children: 1,
  asyncWorkers: 0,
  maxTransactions: 262_144,
  maxMessageBytes: 65_535,
  maxHeaders: 256,
  maxLineBytes: 8_192,
  // As many hops as the Max-Forwards that RFC 3261 recommends allows.
  maxVias: 70,
  recvBufferBytes: 4 * 1024 * 1024,
  log: 'silent',
  groupMaxQueue: 1_024,
  moduleWorkers: 1,
  msTimerMs: 1,
  returnValue: 0,
  mode: 0,
  frTimerMs: 30_000,
  frInvTimerMs: 120_000,
  wtTimerMs: 5_000,
  t1Ms: 500,
  t2Ms: 4_000,
  autoInv100: 1,
  maxSuspendMs: 300_000,
} as const;
