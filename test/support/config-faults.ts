import { defineProxy, SipAsyncError } from 'sip-async';
import { expect } from 'vitest';
import { checkConfig } from '../../dist/config/schema.js';

/** A definition as JavaScript could write it, so that tests can be wrong on purpose. */
export function definition(members: Record<string, unknown> = {}): unknown {
  return defineProxy({ requestRoute() {}, ...members } as Parameters<typeof defineProxy>[0]);
}

/** The lines of the error that a definition gets, none for a good one. */
export function faultsOf(input: unknown, overrides?: unknown): string[] {
  try {
    checkConfig(input, overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(SipAsyncError);
    expect((error as SipAsyncError).code).toBe('SIPASYNC_ERR_CONFIG');
    const [head, ...lines] = (error as SipAsyncError).message.split('\n');
    const count = lines.length === 1 ? '1 fault' : `${lines.length} faults`;
    expect(head).toBe(`the configuration is not valid: ${count}`);
    return lines.map((line) => line.trim());
  }
  return [];
}

/** The same of a definition with these members. */
export function faultsWith(members: Record<string, unknown>): string[] {
  return faultsOf(definition(members));
}
