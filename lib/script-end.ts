/**
 * How a script ends where Kamailio says that a function "exits the execution of the script". No Error and no stack: it
 * is thrown for every call. Only lib/script.ts catches it.
 */
export const SCRIPT_END = Object.freeze({
  toString: () => 'sip-async: the script has ended here (let this pass when you catch errors)',
});
