import type { ProxyConfig } from '../config/schema.ts';

/** Where a JavaScript thread stands in an engine. */
export interface Place {
  /** Number among all threads: receivers first, then the workers group by group. */
  thread: number;
  /** Number of its group, -1 for a receiver. */
  group: number;
  /** Number within the group. */
  worker: number;
  /** For logs and thread lists. */
  name: string;
}

/** The places of the workers of groups, which are numbered from `firstGroup`, and their threads from `firstThread`. */
export function groupPlaces(
  groups: readonly { name: string; workers: number }[],
  firstThread: number,
  firstGroup = 0,
): Place[] {
  let thread = firstThread;
  return groups.flatMap(({ name, workers }, number) =>
    Array.from({ length: workers }, (_, worker) => ({
      thread: thread++,
      group: firstGroup + number,
      worker,
      name: `${name} ${worker}`,
    })),
  );
}

/** The places of all threads but the first receiver, which is the thread that starts the proxy. */
export function workerPlaces(config: ProxyConfig): Place[] {
  const places: Place[] = [];
  for (let child = 1; child < config.children; child += 1) {
    places.push({ thread: child, group: -1, worker: 0, name: `receiver ${child}` });
  }
  return [...places, ...groupPlaces(config.groups, config.children)];
}

/** What a worker thread is given. */
export interface WorkerInput {
  engine: number;
  moduleUrl: string;
  config: ProxyConfig;
  place: Place;
}

/** What a worker thread says, and what it is told. */
export type FromWorker = { type: 'ready' } | { type: 'failed'; message: string; stack: string };
export type ToWorker = { type: 'listen' } | { type: 'close' };
