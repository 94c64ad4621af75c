// The routes that all servers have, in words for tables, and what a server and the load need for each.
import { startSippCallee } from './load.mjs';
import { freeUdpPort } from './server-process.mjs';

/** @typedef {{ method: 'options' | 'invite', route: string }} RouteCase */

/** @type {Record<string, string>} */
export const routeTitles = {
  direct: 'answered directly',
  msroute: 'suspended 100 ms',
  task: 'task route',
  data: 'data task, answered directly',
  tkv: 'event, answered directly',
  sworker: 'handed over to the group',
  relay: 'relayed',
};

/** The user part of the request URI: handing over is done by the server's configuration, for every message. @param {string} route */
export const userOf = (route) => (route === 'sworker' ? 'direct' : route);

/** The port that relayed requests go to: the servers are told before the callee is there. */
export const chooseCalleePort = freeUdpPort;

/**
 * @param {RouteCase} testCase
 * @param {number} calleePort
 * @returns {Partial<import('./turns.mjs').StartOptions>}
 */
export function startOptionsOf({ route }, calleePort) {
  return {
    ...(route === 'sworker' ? { handOver: true } : {}),
    ...(route === 'tkv' ? { tkv: true } : {}),
    ...(route === 'relay' ? { relayTo: calleePort } : {}),
  };
}

/**
 * Runs something with the callee that the route needs, on the core of the load.
 * @template T
 * @param {RouteCase} testCase
 * @param {number} port
 * @param {number} core
 * @param {(callee: { totalCpuNs: () => number } | null) => Promise<T>} measure
 */
export async function withCallee({ method, route }, port, core, measure) {
  if (route !== 'relay') return measure(null);
  const callee = await startSippCallee({ method, port, core });
  try {
    return await measure(callee);
  } finally {
    await callee.stop();
  }
}
