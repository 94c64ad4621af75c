import * as z from 'zod';
import { parseControlPath } from '../control/path.ts';
import type { ProxySettings } from '../define-proxy.ts';
import { isProxyDefinition } from '../define-proxy.ts';
import type { Path } from './faults.ts';
import { Faults, mismatch } from './faults.ts';
import type { GroupConfig, GroupEntry } from './groups.ts';
import { checkGroupNames, DEFAULT_GROUP, MODULE_GROUP, needsTkvGroup, plainGroup, readGroups } from './groups.ts';
import type { LogLevel } from './limits.ts';
import { DEFAULTS, LIMITS, LOG_LEVELS } from './limits.ts';
import type { ListenAddress } from './listen.ts';
import { readListen } from './listen.ts';
import { integer, isRecord, oneOf, readObject, zeroOrOne } from './read.ts';
import { readAdvertise, readAliases, readDns } from './names.ts';
import type { DnsConfig, HostAndPort } from './names.ts';
import type { RouteNames } from './routes.ts';
import { checkEvents, checkTkvEvent, readRoutes, ROUTE_KEYS } from './routes.ts';
import type { StreamConfig, TlsConfig } from './streams.ts';
import { parseXdata } from './xdata.ts';
import { checkTls, streamConfig, streamShape, tlsConfig } from './streams.ts';

/** A checked configuration with every default filled in. It holds no function, so that threads can be sent it. */
export interface ProxyConfig {
  listen: ListenAddress[];
  children: number;
  /** The module's own workers first (there may be none), then `default` if there is one, then the others in order. */
  groups: GroupConfig[];
  async: { msTimerMs: number; returnValue: number; mode: 0 | 1; maxSleepMs: number | null };
  tm: {
    frTimerMs: number;
    frInvTimerMs: number;
    wtTimerMs: number;
    t1Ms: number;
    t2Ms: number;
    autoInv100: boolean;
    maxSuspendMs: number;
  };
  sworker: { xdata: string | null };
  tkv: { group: string | null; eventRoute: string | null };
  maxTransactions: number;
  maxMessageBytes: number;
  maxHeaders: number;
  maxLineBytes: number;
  maxVias: number;
  /** Requests a second and at once; `null` is no limit. */
  maxRequestsPerSource: { rate: number; burst: number } | null;
  recvBufferBytes: number;
  /** Other names of the proxy. */
  aliases: HostAndPort[];
  /** The host that Via and Record-Route name, or the address of the socket. */
  advertise: string | null;
  dns: DnsConfig;
  streams: StreamConfig;
  tls: TlsConfig | null;
  /** The absolute path of the control socket. */
  control: string | null;
  log: LogLevel;
  routes: RouteNames;
}

const asyncSchema = z.strictObject({
  workers: integer(LIMITS.moduleWorkers).optional(),
  ms_timer: integer(LIMITS.msTimerMs).optional(),
  return: integer(LIMITS.returnValue).optional(),
  mode: zeroOrOne().optional(),
  max_sleep: integer(LIMITS.maxSleepSeconds).optional(),
});

const tmSchema = z.strictObject({
  fr_timer: integer(LIMITS.timerMs).optional(),
  fr_inv_timer: integer(LIMITS.timerMs).optional(),
  wt_timer: integer(LIMITS.timerMs).optional(),
  retr_timer1: integer(LIMITS.retransmitMs).optional(),
  retr_timer2: integer(LIMITS.retransmitMs).optional(),
  auto_inv_100: zeroOrOne().optional(),
  max_suspend: integer(LIMITS.maxSuspendMs).optional(),
});

const xdataName = 'the name of a variable, as $var(x)';
const sworkerSchema = z.strictObject({
  xdata: z
    .string({ error: ({ input }) => mismatch(xdataName, input) })
    .refine((name) => parseXdata(name) !== null, { error: ({ input }) => mismatch(xdataName, input) })
    .optional(),
});

const settingsShape = {
  // These have readers of their own, for they hold strings with a grammar.
  listen: z.unknown().optional(),
  asyncWorkersGroup: z.unknown().optional(),
  control: z.unknown().optional(),
  alias: z.unknown().optional(),
  advertise: z.unknown().optional(),
  dns: z.unknown().optional(),
  children: integer(LIMITS.children).optional(),
  asyncWorkers: integer(LIMITS.asyncWorkers).optional(),
  asyncTkvGname: z.string({ error: ({ input }) => mismatch('the name of a worker group', input) }).optional(),
  asyncTkvEvcb: z.string({ error: ({ input }) => mismatch('the name of an eventRoute', input) }).optional(),
  maxTransactions: integer(LIMITS.maxTransactions).optional(),
  maxMessageBytes: integer(LIMITS.maxMessageBytes).optional(),
  maxHeaders: integer(LIMITS.maxHeaders).optional(),
  maxLineBytes: integer(LIMITS.maxLineBytes).optional(),
  maxVias: integer(LIMITS.maxVias).optional(),
  maxRequestsPerSource: z
    .strictObject({ rate: integer(LIMITS.sourceRate), burst: integer(LIMITS.sourceBurst).optional() })
    .optional(),
  recvBuffer: integer(LIMITS.recvBufferBytes).optional(),
  ...streamShape,
  log: oneOf(LOG_LEVELS).optional(),
  modparam: z
    .strictObject({
      async: asyncSchema.optional(),
      tm: tmSchema.optional(),
      sworker: sworkerSchema.optional(),
    })
    .optional(),
} satisfies Record<keyof ProxySettings, z.ZodType>;

const settingsSchema = z.strictObject(settingsShape);

const definitionSchema = z.strictObject({
  ...settingsShape,
  ...(Object.fromEntries(ROUTE_KEYS.map((key) => [key, z.unknown().optional()])) as Record<
    (typeof ROUTE_KEYS)[number],
    z.ZodOptional<z.ZodUnknown>
  >),
});

/** What one of the two sources, the definition or the overrides, says. */
interface Settings {
  readonly path: Path;
  readonly values: Partial<z.output<typeof settingsSchema>>;
  readonly listen: ListenAddress[] | null;
  readonly groups: GroupEntry[] | null;
  readonly control: string | null;
  readonly aliases: HostAndPort[] | null;
  readonly advertise: string | null;
  readonly dns: DnsConfig | null;
}

function readControl(input: unknown, path: Path, faults: Faults): string | null {
  const parsed = parseControlPath(input);
  if ('path' in parsed) return parsed.path;
  faults.add(path, parsed.fault);
  return null;
}

function readSettings(
  schema: typeof settingsSchema | typeof definitionSchema,
  input: unknown,
  path: Path,
  faults: Faults,
): Settings {
  const values = readObject(schema as typeof settingsSchema, input, path, faults);
  const { listen, asyncWorkersGroup: groups, control, alias, advertise, dns } = values;
  return {
    path,
    values,
    listen: listen === undefined ? null : readListen(listen, [...path, 'listen'], faults),
    groups: groups === undefined ? null : readGroups(groups, [...path, 'asyncWorkersGroup'], faults),
    control: control === undefined ? null : readControl(control, [...path, 'control'], faults),
    aliases: alias === undefined ? null : readAliases(alias, [...path, 'alias'], faults),
    advertise: advertise === undefined ? null : readAdvertise(advertise, [...path, 'advertise'], faults),
    dns: dns === undefined ? null : readDns(dns, [...path, 'dns'], faults),
  };
}

function readOverrides(input: unknown, faults: Faults): Settings {
  const path = ['overrides'];
  if (input === undefined) {
    return { path, values: {}, listen: null, groups: null, control: null, aliases: null, advertise: null, dns: null };
  }
  if (!isRecord(input)) return readSettings(settingsSchema, input, path, faults);
  const settings = { ...input };
  for (const key of ROUTE_KEYS) {
    if (settings[key] !== undefined) faults.add([...path, key], 'routes come from the proxy module only');
    delete settings[key];
  }
  return readSettings(settingsSchema, settings, path, faults);
}

/**
 * Checks a definition as a whole and fills in the defaults. Nothing is started.
 *
 * @param definition what a proxy module exports as its default
 * @param overrides a definition without routes; what it says takes precedence, `modparam` key by key
 * @throws SipAsyncError `SIPASYNC_ERR_CONFIG`, one error whose message lists every fault in a line of its own
 */
export function checkConfig(definition: unknown, overrides?: unknown): ProxyConfig {
  const faults = new Faults();
  if (!isProxyDefinition(definition)) {
    const got = isRecord(definition) ? ' that defineProxy has not made' : '';
    faults.add([], `${mismatch('what defineProxy({ ... }) returns', definition)}${got}`);
    faults.throwIfAny();
  }
  const own = readSettings(definitionSchema, definition, [], faults);
  const over = readOverrides(overrides, faults);
  const routes = readRoutes(definition as Record<string, unknown>, faults);

  const values = { ...own.values, ...over.values };
  const module = { ...own.values.modparam?.async, ...over.values.modparam?.async };
  const tm = { ...own.values.modparam?.tm, ...over.values.modparam?.tm };
  const sworker = { ...own.values.modparam?.sworker, ...over.values.modparam?.sworker };
  const groups = over.groups ?? own.groups ?? [];
  const asyncWorkers = values.asyncWorkers ?? DEFAULTS.asyncWorkers;
  const source = values.maxRequestsPerSource;
  const mode = module.mode ?? DEFAULTS.mode;
  // As in Kamailio, the empty string means that there are no tkv events.
  const tkv = { group: values.asyncTkvGname || null, eventRoute: values.asyncTkvEvcb || null };

  const pathOf = (key: keyof ProxySettings) => [...(over.values[key] === undefined ? [] : over.path), key] as string[];
  if (mode === 0 && !routes.requestRoute) {
    faults.add(['requestRoute'], `${mismatch('a function', undefined)}; it is needed unless modparam.async.mode is 1`);
  }
  checkGroupNames(groups, asyncWorkers, faults);
  let tkvGroup: GroupConfig[] = [];
  if (tkv.group !== null) {
    // Whoever wrote a wrong number of workers still meant the group to be there.
    const hasDefault = asyncWorkers > 0 || faults.has(['asyncWorkers']) || faults.has(['overrides', 'asyncWorkers']);
    const isNew = needsTkvGroup(tkv.group, groups, hasDefault, pathOf('asyncTkvGname'), faults);
    if (isNew) tkvGroup = [plainGroup(tkv.group, 1)];
  }
  checkEvents(routes.eventRoute, tkv.eventRoute, faults);
  if (tkv.eventRoute !== null) checkTkvEvent(tkv.eventRoute, routes.eventRoute, pathOf('asyncTkvEvcb'), faults);
  const listen = over.listen ?? own.listen ?? readListen(DEFAULTS.listen, ['listen'], faults);
  const tls = tlsConfig(values.tls);
  checkTls(tls, pathOf('tls'), listen, pathOf('listen'), faults);
  faults.throwIfAny();

  return {
    listen,
    children: values.children ?? DEFAULTS.children,
    groups: [
      plainGroup(MODULE_GROUP, module.workers ?? DEFAULTS.moduleWorkers),
      ...(asyncWorkers > 0 ? [plainGroup(DEFAULT_GROUP, asyncWorkers)] : []),
      ...groups.map((group) => group.config),
      ...tkvGroup,
    ],
    async: {
      msTimerMs: module.ms_timer ?? DEFAULTS.msTimerMs,
      returnValue: module.return ?? DEFAULTS.returnValue,
      mode,
      maxSleepMs: module.max_sleep === undefined ? null : module.max_sleep * 1000,
    },
    tm: {
      frTimerMs: tm.fr_timer ?? DEFAULTS.frTimerMs,
      frInvTimerMs: tm.fr_inv_timer ?? DEFAULTS.frInvTimerMs,
      wtTimerMs: tm.wt_timer ?? DEFAULTS.wtTimerMs,
      t1Ms: tm.retr_timer1 ?? DEFAULTS.t1Ms,
      t2Ms: tm.retr_timer2 ?? DEFAULTS.t2Ms,
      autoInv100: (tm.auto_inv_100 ?? DEFAULTS.autoInv100) === 1,
      maxSuspendMs: tm.max_suspend ?? DEFAULTS.maxSuspendMs,
    },
    sworker: { xdata: sworker.xdata ?? null },
    tkv,
    maxTransactions: values.maxTransactions ?? DEFAULTS.maxTransactions,
    maxMessageBytes: values.maxMessageBytes ?? DEFAULTS.maxMessageBytes,
    maxHeaders: values.maxHeaders ?? DEFAULTS.maxHeaders,
    maxLineBytes: values.maxLineBytes ?? DEFAULTS.maxLineBytes,
    maxVias: values.maxVias ?? DEFAULTS.maxVias,
    maxRequestsPerSource: source === undefined ? null : { rate: source.rate, burst: source.burst ?? source.rate },
    recvBufferBytes: values.recvBuffer ?? DEFAULTS.recvBufferBytes,
    aliases: over.aliases ?? own.aliases ?? [],
    advertise: over.advertise ?? own.advertise,
    dns: over.dns ?? own.dns ?? {},
    streams: streamConfig(values),
    tls,
    control: over.control ?? own.control,
    log: values.log ?? DEFAULTS.log,
    routes,
  };
}
