import { contentLength } from './content-length.ts';
import { fromTo } from './from-to.ts';
import { limits } from './limits.ts';
import { cseqVectors, numbers } from './numbers.ts';
import { rfc4475 } from './rfc4475.ts';
import { sipPackage } from './sip-package.ts';
import { startLine } from './start-line.ts';
import { encodings, structure } from './structure.ts';
import { uris } from './uris.ts';
import type { Vector } from './vector.ts';
import { viaVectors } from './via.ts';

/** Our own, by subject. */
export const own: Readonly<Record<string, readonly Vector[]>> = {
  'start line': startLine,
  Via: viaVectors,
  'From and To': fromTo,
  CSeq: cseqVectors,
  'Content-Length': contentLength,
  structure,
  URIs: uris,
  numbers,
  encodings,
  limits,
  'sip package': sipPackage,
};

/** All vectors, those of RFC 4475 first. */
export const all: readonly Vector[] = [...rfc4475, ...Object.values(own).flat()];
