/** What happens to connections: plain numbers, all but the first since the start. */
export interface ConnectionCounters {
  /** Connections that are open now, both ways, handshakes included. */
  connections: number;
  /** Connections that were opened, both ways. */
  connectionsOpened: number;
  /** Refused at once, because of `maxConnections` or `maxConnectionsPerSource`. */
  connectionsRefused: number;
  /** Keep-alives that were answered. */
  keepAlives: number;
  /** TLS and WebSocket handshakes that failed or took too long. */
  handshakesFailed: number;
  /** Connections closed because what came was no SIP, or too long. */
  framingErrors: number;
  /** Connections closed because a message was not whole in time. */
  messageTimeouts: number;
  /** Connections closed because nothing came or went for long. */
  idleTimeouts: number;
  /** Connections closed because the peer did not read. */
  slowPeers: number;
  /** Connections that could not be opened. */
  connectsFailed: number;
  /** Messages dropped because there was no connection to send them by. */
  undelivered: number;
}

export function noConnections(): ConnectionCounters {
  return {
    connections: 0,
    connectionsOpened: 0,
    connectionsRefused: 0,
    keepAlives: 0,
    handshakesFailed: 0,
    framingErrors: 0,
    messageTimeouts: 0,
    idleTimeouts: 0,
    slowPeers: 0,
    connectsFailed: 0,
    undelivered: 0,
  };
}
