import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Binding } from '../binding.d.ts';
import { makeError } from './errors.ts';

/** Layout and meaning of what crosses the boundary; the addon has the same number or is not used. */
const BINDING_VERSION = 10;

function load(): Binding {
  const require = createRequire(import.meta.url);
  let addon: Binding;
  try {
    const loadAddon = require('node-gyp-build') as (directory: string) => Binding;
    addon = loadAddon(fileURLToPath(new URL('..', import.meta.url)));
  } catch (cause) {
    const where = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    throw makeError('ADDON', `no build for ${where}; "npm rebuild sip-async" compiles one (cmake, g++, make)`, cause);
  }
  if (addon.constants.version !== BINDING_VERSION) {
    throw makeError('ADDON', `it speaks version ${addon.constants.version}, this package ${BINDING_VERSION}; rebuild it`);
  }
  return addon;
}

/** The native addon. No other file loads it. */
export const native: Binding = load();
