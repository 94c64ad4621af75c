import { deserialize, serialize } from 'node:v8';
import { Flags } from './flags.ts';
import { nestedValue, plainValue, Variables } from './variables.ts';
import type { NestedValue, VariableValue } from './variables.ts';
import { NO_ROUTE } from '../tm/route-type.ts';

/** What a script changed in a message, for when it is forwarded. */
export interface MessageChanges {
  ruri: string | null;
  /** The destination URI (`$du`). */
  du: string | null;
  body: string | Uint8Array | null;
  appendedLines: string[];
  removedNames: string[];
  /** Lines for the next reply that is made here. */
  replyLines: string;
  /** Whether the request is to come back this way in its dialog (`record_route`). */
  recordsRoute: boolean;
  /** Request-URIs of further branches for the next relay (`append_branch`). */
  branches: string[];
  /** Whether a route that was suspended since has sent the request on. */
  hasRelayed: boolean;
  /** Numbers of the routes that are armed, or NO_ROUTE. */
  onFailure: number;
  onReply: number;
  onBranch: number;
}

/** As it is stored between two runs; arrays, because they are the smallest when they are serialized. */
type Stored = [
  avp: Map<string, VariableValue[]>,
  xavp: Map<string, NestedValue[]>,
  flags: number,
  changes: MessageChanges,
  requestChanges: MessageChanges | null,
];

/** Everything that lives in the transaction and that a script can set: AVPs, XAVPs, flags and message changes. */
export class TransactionVariables {
  readonly avp: Variables;
  readonly xavp: Variables<NestedValue>;
  readonly flags: Flags;
  readonly changes: MessageChanges;
  /** In a reply route: what was changed in the request, which must outlive the reply. */
  readonly #requestChanges: MessageChanges | null;
  readonly #avp: Map<string, VariableValue[]>;
  readonly #xavp: Map<string, NestedValue[]>;
  #isChanged = false;

  private constructor([avp, xavp, flags, changes, requestChanges]: Stored, mayChange: () => void) {
    const beforeChange = () => {
      mayChange();
      this.noteChange();
    };
    this.#avp = avp;
    this.#xavp = xavp;
    this.avp = new Variables(avp, plainValue, beforeChange);
    this.xavp = new Variables<NestedValue>(frozen(xavp), nestedValue, beforeChange);
    this.flags = new Flags(flags, beforeChange);
    this.changes = changes;
    this.#requestChanges = requestChanges;
  }

  /**
   * @param stored what {@link serialize} gave when the call was suspended; `null` for a new one
   * @param mayChange throws when nothing may be changed any more
   */
  static load(stored: Uint8Array | null, mayChange: () => void): TransactionVariables {
    return new TransactionVariables(read(stored), mayChange);
  }

  /** For a reply: the variables are the transaction's, the changes are those of the reply. */
  static ofReply(stored: Uint8Array | null, mayChange: () => void): TransactionVariables {
    const [avp, xavp, flags, changes] = read(stored);
    return new TransactionVariables([avp, xavp, flags, noChanges(), changes], mayChange);
  }

  /** Whether something was set since they were read. */
  get isChanged(): boolean {
    return this.#isChanged;
  }

  noteChange(): void {
    this.#isChanged = true;
  }

  /** They are kept; what is set from now on is not. */
  noteKept(): void {
    this.#isChanged = false;
  }

  serialize(): Uint8Array {
    return serialize([this.#avp, this.#xavp, this.flags.value, this.changes, this.#requestChanges] satisfies Stored);
  }

  /** What the transaction keeps of them: without what was changed in a reply. */
  serializeForRequest(): Uint8Array {
    const changes = this.#requestChanges ?? this.changes;
    return serialize([this.#avp, this.#xavp, this.flags.value, changes, null] satisfies Stored);
  }
}

function noChanges(): MessageChanges {
  return {
    ruri: null,
    du: null,
    body: null,
    appendedLines: [],
    removedNames: [],
    replyLines: '',
    recordsRoute: false,
    branches: [],
    hasRelayed: false,
    onFailure: NO_ROUTE,
    onReply: NO_ROUTE,
    onBranch: NO_ROUTE,
  };
}

function read(stored: Uint8Array | null): Stored {
  return stored === null ? [new Map(), new Map(), 0, noChanges(), null] : (deserialize(stored) as Stored);
}

/** What comes out of storage can be changed again; what is handed out must not be. */
function frozen(xavp: Map<string, NestedValue[]>): Map<string, NestedValue[]> {
  for (const values of xavp.values()) values.forEach((value, i) => (values[i] = nestedValue(value, 'xavp')));
  return xavp;
}
