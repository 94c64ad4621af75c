import type { Proxy } from 'sip-async';

/** What `startProxy` gives has this once open suspensions are there; until then the type does not know it. */
interface Continues {
  tContinue(index: number, label: number, routename: string): boolean;
}

/** `proxy.tContinue`. */
export function continueFrom(proxy: Proxy, index: number, label: number, routename: string): boolean {
  return (proxy as unknown as Continues).tContinue(index, label, routename);
}
