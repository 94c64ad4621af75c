import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Inside the repository, so that `import ... from 'sip-async'` in a written module finds this very package. */
const parent = fileURLToPath(new URL('../.tmp', import.meta.url));

const written = new Set<ProxyFile>();
process.once('exit', () => {
  for (const file of written) file.remove();
});

/** A module on disk that lives as long as its test. */
export class ProxyFile {
  readonly folder: string;
  readonly path: string;

  /** Writes `source` as an ES module; further modules beside it go into `others`, by file name. */
  constructor(source: string, others: Readonly<Record<string, string>> = {}) {
    mkdirSync(parent, { recursive: true });
    this.folder = mkdtempSync(join(parent, 'proxy-'));
    this.path = join(this.folder, 'proxy.mjs');
    written.add(this);
    for (const [name, text] of Object.entries({ ...others, 'proxy.mjs': source })) {
      writeFileSync(join(this.folder, name), text);
    }
  }

  get url(): URL {
    return pathToFileURL(this.path);
  }

  remove(): void {
    written.delete(this);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Writes a proxy module from the text between the braces of `defineProxy({ ... })`, for the many tests that need
 * nothing around it.
 */
export function proxyFile(definition: string): ProxyFile {
  const head = `import { defineProxy } from 'sip-async';\n\n`;
  return new ProxyFile(`${head}export default defineProxy({\n${definition}\n});\n`);
}
