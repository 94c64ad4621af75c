import { native } from '../binding.ts';
import type { Runtime } from '../runtime.ts';
import type { Resolution } from '../transport/resolve.ts';

/** Kamailio's "Unresolvable destination". */
const UNRESOLVABLE = 478;

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
    native.branchSendTo(runtime.channel, index, generation, lines.join('\n'));
  };
  const resolution = runtime.resolver().resolve(target);
  if (resolution instanceof Promise) void resolution.then(send);
  else send(resolution);
}
