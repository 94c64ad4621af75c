/** A value that lives with a transaction. */
export type VariableValue = string | number | boolean | Uint8Array;
/** A value of `msg.xavp`: a {@link VariableValue}, or a map of such, nested as deep as 16 levels. */
export type NestedValue = VariableValue | { readonly [name: string]: NestedValue };

const MAX_DEPTH = 16;

function describe(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}

/** Checks and copies a plain value. @throws TypeError for anything else */
export function plainValue(value: unknown, name: string): VariableValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (value instanceof Uint8Array) return Buffer.from(value);
  throw new TypeError(`${name}: expected a string, number, boolean or bytes, got ${describe(value)}`);
}

/** Checks and copies a value that may be a map; the copy is frozen, so that a change of it cannot seem to be kept. */
export function nestedValue(value: unknown, name: string, depth = 0): NestedValue {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return plainValue(value, name);
  const isMap = value instanceof Map;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!isMap && prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`${name}: expected a plain object or a Map, got ${Array.isArray(value) ? 'an array' : 'an instance'}`);
  }
  if (depth >= MAX_DEPTH) throw new TypeError(`${name}: nested deeper than ${MAX_DEPTH} levels`);
  const copy: Record<string, NestedValue> = {};
  for (const [key, one] of isMap ? (value as Map<unknown, unknown>) : Object.entries(value)) {
    if (typeof key !== 'string') throw new TypeError(`${name}: expected names that are strings, got ${describe(key)}`);
    // Not by assignment, for which a name like __proto__ means something.
    Object.defineProperty(copy, key, { value: nestedValue(one, `${name}.${key}`, depth + 1), enumerable: true });
  }
  return Object.freeze(copy);
}

/**
 * Variables by name, each with one or several values, the newest first (Kamailio's AVPs and XAVPs). They live in the
 * transaction: they are there after any number of suspensions, in whichever thread the call goes on.
 */
export class Variables<Value extends NestedValue = VariableValue> {
  /** Newest first. */
  readonly #values: Map<string, Value[]>;
  readonly #check: (value: unknown, name: string) => Value;
  readonly #beforeChange: () => void;

  /** @param beforeChange throws when nothing may be changed any more @internal */
  constructor(values: Map<string, Value[]>, check: (value: unknown, name: string) => Value, beforeChange: () => void) {
    this.#values = values;
    this.#check = check;
    this.#beforeChange = beforeChange;
  }

  /** The newest value, or `null` when there is none (`$avp(name)`). Bytes are a copy. */
  get(name: string): Value | null {
    const value = this.#values.get(checkName(name))?.[0];
    return value === undefined ? null : copied(value);
  }

  /** All values of a name, the newest first (`$(avp(name)[*])`); none is an empty array. */
  getAll(name: string): Value[] {
    return (this.#values.get(checkName(name)) ?? []).map(copied);
  }

  /** Whether the name has a value. */
  has(name: string): boolean {
    return this.#values.has(checkName(name));
  }

  /** Replaces all values of a name by this one (`$(avp(name)[*]) = value`). @throws TypeError for what cannot be kept */
  set(name: string, value: Value): this {
    const values = [this.#check(value, checkName(name))];
    this.#beforeChange();
    this.#values.set(name, values);
    return this;
  }

  /** Puts a value before those that the name has (`$avp(name) = value`). @throws TypeError for what cannot be kept */
  add(name: string, value: Value): this {
    const values = this.#values.get(checkName(name));
    const checked = this.#check(value, name);
    this.#beforeChange();
    if (values === undefined) this.#values.set(name, [checked]);
    else values.unshift(checked);
    return this;
  }

  /** Forgets all values of a name. @returns whether there were any */
  delete(name: string): boolean {
    if (!this.#values.has(checkName(name))) return false;
    this.#beforeChange();
    return this.#values.delete(name);
  }

  /** The names that have values, in the order in which they came. */
  names(): string[] {
    return [...this.#values.keys()];
  }
}

function checkName(name: unknown): string {
  if (typeof name !== 'string') throw new TypeError(`name: expected a string, got ${describe(name)}`);
  return name;
}

/** Bytes could be changed by whoever gets them; everything else is frozen. */
function copied<Value extends NestedValue>(value: Value): Value {
  return holdsBytes(value) ? (nestedValue(value, 'value') as Value) : value;
}

function holdsBytes(value: NestedValue): boolean {
  if (typeof value !== 'object') return false;
  return value instanceof Uint8Array || Object.values(value).some(holdsBytes);
}
