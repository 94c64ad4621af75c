import { types } from 'node:util';
import { Deserializer, Serializer } from 'node:v8';
import type { NoticeData } from '../../binding.d.ts';

/** What the addon carries: a plain value as it is, anything else as bytes of V8's. */
export interface Parcel {
  readonly data: NoticeData;
  readonly isPacked: boolean;
}

/** Of an object that V8 copies as that class, without looking into it. */
const isLeaf = (value: object): boolean =>
  ArrayBuffer.isView(value) ||
  types.isAnyArrayBuffer(value) ||
  types.isDate(value) ||
  types.isRegExp(value) ||
  types.isBoxedPrimitive(value);

/** What lies in an object and is copied with it. */
function* contentOf(value: object): Iterable<unknown> {
  if (types.isMap(value)) for (const entry of value) yield* entry;
  else if (types.isSet(value)) yield* value;
  else if (types.isNativeError(value)) yield value.cause;
  else yield* Object.values(value);
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null;
};

/** Of a class that Node copies, not V8: its copy is no plain object. */
const isOfNode = (value: object): boolean =>
  !types.isMap(value) && !types.isSet(value) && !types.isNativeError(value) && !isPlain(structuredClone(value));

/**
 * V8 by itself takes a `Blob`, say, for an object without properties, or fails only where it is unpacked.
 *
 * @throws TypeError for what only Node could copy
 */
function refuseWhatNodeCopies(data: object): void {
  const found = new Set([data]);
  // Grows while it is gone through.
  for (const value of found) {
    if (isLeaf(value)) continue;
    if (!isPlain(value) && isOfNode(value)) throw new TypeError(`#<${value.constructor.name}> cannot be carried to other threads`);
    for (const inner of contentOf(value)) {
      if (typeof inner === 'object' && inner !== null) found.add(inner);
    }
  }
}

/** Of bytes that are an array's own and not shared; a detached one is V8's to refuse. */
const isBytes = (data: unknown): data is Uint8Array =>
  data instanceof Uint8Array && data.byteLength > 0 && data.buffer instanceof ArrayBuffer;

const isSimple = (data: unknown): data is Exclude<NoticeData, Uint8Array> =>
  data === null || data === undefined || typeof data === 'boolean' || typeof data === 'number' || typeof data === 'string';

/** @throws whatever V8 says of data that cannot be copied, or a TypeError */
export function pack(data: unknown): Parcel {
  if (isSimple(data) || isBytes(data)) return { data, isPacked: false };
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(data);
  if (typeof data === 'object') refuseWhatNodeCopies(data);
  return { data: serializer.releaseBuffer(), isPacked: true };
}

/** @returns a copy of its own, each time */
export function unpack({ data, isPacked }: Parcel): unknown {
  if (!(data instanceof Uint8Array)) return data;
  if (!isPacked) return new Uint8Array(data);
  const deserializer = new Deserializer(data);
  deserializer.readHeader();
  return deserializer.readValue();
}
