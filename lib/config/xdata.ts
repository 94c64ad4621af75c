/** The variable that goes along with a message that is handed over: of `modparam sworker xdata`. */
export interface XdataVariable {
  readonly kind: 'var' | 'avp';
  readonly name: string;
}

const VARIABLE = /^\$(var|avp)\(([A-Za-z][\w.-]*)\)$/;

/** @returns `null` for what names no variable that can be written there */
export function parseXdata(text: string): XdataVariable | null {
  const match = VARIABLE.exec(text);
  return match === null ? null : { kind: match[1] as 'var' | 'avp', name: match[2]! };
}
