import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The URL of a module that a user names by URL or by path; a path counts from the working directory. */
export function moduleUrl(module: URL | string): string {
  const isUrl = module instanceof URL || /^(file|data|node):/.test(module);
  return isUrl ? String(module) : pathToFileURL(resolve(module)).href;
}
