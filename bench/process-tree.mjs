// What the kernel says about a server: which processes belong to it, their CPU time and their memory.
import { readdirSync, readFileSync } from 'node:fs';

/** @param {string} path */
function readOr(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // A process may end between the listing and the reading.
    return '';
  }
}

/** Fields of /proc/PID/stat after the command name, which may itself hold blanks and brackets. @param {string} stat */
function statFields(stat) {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * The process and all its descendants.
 * @param {number} rootPid
 * @returns {number[]}
 */
export function treeOf(rootPid) {
  /** @type {Map<number, number[]>} */
  const childrenOf = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readOr(`/proc/${entry}/stat`);
    if (stat === '') continue;
    const parentPid = Number(statFields(stat)[1]);
    const siblings = childrenOf.get(parentPid);
    if (siblings) siblings.push(Number(entry));
    else childrenOf.set(parentPid, [Number(entry)]);
  }
  const pids = [];
  const pending = [rootPid];
  while (pending.length > 0) {
    const pid = /** @type {number} */ (pending.pop());
    pids.push(pid);
    pending.push(...(childrenOf.get(pid) ?? []));
  }
  return pids;
}

/** @param {number} pid */
function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/**
 * CPU time of every thread of the tree in nanoseconds. `schedstat` counts run time exactly, where utime and stime
 * come in ticks of 10 ms.
 * @param {number} rootPid
 * @returns {Map<number, number>} by thread id
 */
export function readCpuNs(rootPid) {
  const cpuNs = new Map();
  for (const pid of treeOf(rootPid)) {
    for (const thread of threadsOf(pid)) {
      const schedstat = readOr(`/proc/${pid}/task/${thread}/schedstat`);
      if (schedstat !== '') cpuNs.set(Number(thread), Number(schedstat.split(' ')[0]));
    }
  }
  return cpuNs;
}

/**
 * CPU time of one process without its children in nanoseconds, or 0 when it has ended: little work, for a look many times.
 * @param {number} pid
 */
export function readProcessCpuNs(pid) {
  return threadsOf(pid).reduce((sum, thread) => sum + Number(readOr(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]), 0);
}

/**
 * CPU time used between two readings. A thread born in between counts in full.
 * @param {Map<number, number>} before
 * @param {Map<number, number>} after
 */
export function cpuNsBetween(before, after) {
  let total = 0;
  for (const [thread, cpuNs] of after) total += Math.max(0, cpuNs - (before.get(thread) ?? 0));
  return total;
}

/**
 * Memory of the tree. PSS counts a page shared by several processes once over all of them, so it is the sum that can
 * be compared between a server of threads and a server of processes. Pages of files are left out: the programs' own
 * text is shared with whatever else runs the same program, and would move the sum when that starts or ends.
 * @param {number} rootPid
 */
export function readMemory(rootPid) {
  const memory = { pssBytes: 0, rssBytes: 0 };
  for (const pid of treeOf(rootPid)) {
    const rollup = readOr(`/proc/${pid}/smaps_rollup`);
    const bytes = (/** @type {string} */ field) =>
      1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
    memory.pssBytes += bytes('Pss_Anon') + bytes('Pss_Shmem');
    memory.rssBytes += bytes('Rss');
  }
  return memory;
}

const kTickSeconds = 0.01;

/**
 * Seconds a process has used, with those of its ended children. These ticks are scaled to the exact run time, where
 * /proc/stat counts what a tick happens to hit and misses most of a load of short bursts.
 * @param {number} pid
 */
function usedSeconds(pid) {
  const stat = readOr(`/proc/${pid}/stat`);
  if (stat === '') return 0;
  return statFields(stat).slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * kTickSeconds;
}

/** Seconds used by everything but this process and what it has started. */
function othersSeconds() {
  const own = new Set(treeOf(process.pid));
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && !own.has(Number(entry)));
  return pids.reduce((sum, pid) => sum + usedSeconds(Number(pid)), 0);
}

/**
 * Starts to watch what the rest of the machine does: the returned function tells how much of one core it used, in
 * per cent. Server and load generators are children of this process and not the rest.
 */
export function watchOthers() {
  const startMs = performance.now();
  const before = othersSeconds();
  return () => Math.max(0, ((othersSeconds() - before) * 1e5) / (performance.now() - startMs));
}
