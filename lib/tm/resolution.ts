import { native } from '../binding.ts';
import type { Runtime } from '../runtime.ts';
import type { Resolution } from '../transport/resolve.ts';
import { parseTarget } from '../transport/sip-uri.ts';

/** Kamailio's "Unresolvable destination". */
const UNRESOLVABLE = 478;

/** The host that a target names. */
function nameOf(target: string): string {
  const parsed = parseTarget(target);
  return typeof parsed === 'string' ? '' : parsed.host;
}

/**
 * Looks up where a branch goes and sends it. Nothing waits for it; should the name never resolve, the branch has failed as if
 * 478 had come back, and should this thread end before, its `fr_timer` ends it.
 */
export function sendWhenResolved(runtime: Runtime, index: number, generation: number, target: string): void {
  const send = (resolution: Resolution) => {
    if (!resolution.ok) {
      runtime.logger.warn({ target, err: resolution.error }, 'the target of a branch does not resolve');
      native.branchFail(runtime.channel, index, generation, UNRESOLVABLE);
      return;
    }
    const lines = resolution.destinations.map(({ transport, host, port }) => `${transport} ${host} ${port}`);
    native.branchSendTo(runtime.channel, index, generation, lines.join('\n'), nameOf(target));
  };
  const resolution = runtime.resolver().resolve(target);
  if (resolution instanceof Promise) void resolution.then(send);
  else send(resolution);
}

/**
 * Looks up where a message without a transaction goes, an ACK for one, and hands each address to `forward` until one is taken.
 *
 * @param forward gets the address as a URI and the name that was looked up; it returns a native status
 * @returns what ends when that is done; `null` when it is done already
 */
export function forwardWhenResolved(
  runtime: Runtime,
  target: string,
  forward: (destination: string, name: string) => number,
): Promise<void> | null {
  const send = (resolution: Resolution) => {
    if (!resolution.ok) {
      runtime.logger.warn({ target, err: resolution.error }, 'the target of an ACK does not resolve');
      return;
    }
    const name = nameOf(target);
    resolution.destinations.some(({ transport, host, port }) => {
      const uri = `sip:${host.includes(':') ? `[${host}]` : host}:${port};transport=${transport}`;
      return forward(uri, name) === native.constants.status.ok;
    });
  };
  const resolution = runtime.resolver().resolve(target);
  if (resolution instanceof Promise) return resolution.then(send);
  send(resolution);
  return null;
}
