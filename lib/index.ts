export { defineProxy } from './define-proxy.ts';
export type {
  AsyncParams,
  GroupDefinition,
  ProxyDefinition,
  ProxySettings,
  RouteHandler,
  SourceRate,
  SworkerParams,
  TlsSettings,
  TmParams,
} from './define-proxy.ts';
export { SipAsyncError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export type { LogLevel } from './config/limits.ts';
export type { BoundAddress } from './bound-address.ts';
export type { Message } from './message.ts';
export type { ConnectionCounters } from './transport/counters.ts';
export type { Transport } from './transport/transport.ts';
export type { ParsedMessage } from './message-reader.ts';
export type { Handle, SuspendedEntry } from './suspended.ts';
export type { TkvEvent } from './async/data-task.ts';
export type { Flags } from './variables/flags.ts';
export type { NestedValue, Variables, VariableValue } from './variables/variables.ts';
export { startProxy } from './proxy.ts';
export type { CloseReport, Proxy } from './proxy.ts';
export type { GroupStats, OperationStats, Percentiles, ProxyStats } from './stats.ts';
export type { Operation } from './statements/operation.ts';
export type { AsyncOptions, LaunchOptions } from './statements/options.ts';
export { htable, shv } from './variables/shared.ts';
export type {
  EntryOptions,
  HashTable,
  HashTableOptions,
  SharedInput,
  SharedStats,
  SharedValue,
  SharedVariables,
} from './variables/shared.ts';
