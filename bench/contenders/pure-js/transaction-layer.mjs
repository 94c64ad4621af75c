// Finds the transaction of each message: retransmissions, ACKs, CANCELs and responses end here, a new request goes to the route.
import { ClientTransaction } from './client-transaction.mjs';
import { ServerTransaction, statelessReply } from './server-transaction.mjs';
import { parse, stringify } from './sip-package.mjs';

/** @typedef {import('./sip-package.mjs').SipMessage} SipMessage */
/** @typedef {import('./udp-socket.mjs').Peer} Peer */

/** @param {SipMessage} request @param {string} method */
function serverKey({ headers }, method) {
  const [{ host, port = 5060, params }] = headers.via;
  // Without the cookie the branch need not be unique (RFC 3261 section 17.2.3).
  const isUnique = String(params.branch).startsWith('z9hG4bK');
  const rest = isUnique ? '' : `${headers['call-id']} ${headers.from.params.tag} ${headers.cseq.seq}`;
  return `${method} ${params.branch} ${host}:${port} ${rest}`;
}

export class TransactionLayer {
  host;
  port;
  #sendBytes;
  #onRequest;
  /** @type {Map<string, ServerTransaction>} */
  #servers = new Map();
  /** @type {Map<string, ClientTransaction>} */
  #clients = new Map();

  /**
   * @param {Peer} local
   * @param {(bytes: Buffer, to: Peer) => void} send
   * @param {(transaction: ServerTransaction, request: SipMessage) => void} onRequest
   */
  constructor(local, send, onRequest) {
    this.host = local.address;
    this.port = local.port;
    this.#sendBytes = send;
    this.#onRequest = onRequest;
  }

  /** @param {string} text @param {Peer} from */
  receive(text, from) {
    const message = parse(text);
    if (message === undefined) return;
    if (message.method === undefined) this.#onResponse(message);
    else if (message.method === 'ACK') this.#servers.get(serverKey(message, 'INVITE'))?.onAck();
    else if (message.method === 'CANCEL') this.#onCancel(message, text, from);
    else this.#onNewRequest(message, text, from);
  }

  /** @param {Buffer} bytes @param {Peer} to */
  send(bytes, to) {
    this.#sendBytes(bytes, to);
  }

  /** A response that belongs to no reply of ours any more. @param {SipMessage} response @param {Peer} to */
  forward(response, to) {
    response.headers.via.shift();
    this.send(Buffer.from(stringify(response), 'latin1'), to);
  }

  /** @param {ServerTransaction} server @param {Peer} peer */
  relay(server, peer) {
    const { request } = server;
    if (request === null) return;
    if (Number(request.headers['max-forwards'] ?? 70) < 1) {
      server.reply(483, 'Too Many Hops');
      return;
    }
    server.trying();
    server.branch = new ClientTransaction(this, server, request, peer);
  }

  /** Without a transaction. @param {ServerTransaction} server @param {number} status @param {string} reason */
  replyStateless(server, status, reason) {
    const { request } = server;
    if (request === null) return;
    this.endServer(serverKey(request, String(request.method)));
    this.send(statelessReply(request, status, reason), server.peer);
  }

  /** @param {string} key @param {ClientTransaction} client */
  addClient(key, client) {
    this.#clients.set(key, client);
  }

  /** @param {string} key */
  endClient(key) {
    this.#clients.delete(key);
  }

  /** @param {string} key */
  endServer(key) {
    this.#servers.delete(key);
  }

  /** @param {SipMessage} request @param {string} text @param {Peer} from */
  #onNewRequest(request, text, from) {
    const key = serverKey(request, String(request.method));
    const known = this.#servers.get(key);
    if (known !== undefined) {
      known.onRetransmission();
      return;
    }
    const server = new ServerTransaction(this, key, request, text, from);
    this.#servers.set(key, server);
    this.#onRequest(server, request);
  }

  /** @param {SipMessage} response */
  #onResponse(response) {
    const { via, cseq } = response.headers;
    this.#clients.get(String(via[0].params.branch) + cseq.method)?.onResponse(response);
  }

  /** @param {SipMessage} cancel @param {string} text @param {Peer} from */
  #onCancel(cancel, text, from) {
    const invite = this.#servers.get(serverKey(cancel, 'INVITE'));
    const key = serverKey(cancel, 'CANCEL');
    const known = this.#servers.get(key);
    if (known !== undefined) {
      known.onRetransmission();
      return;
    }
    const server = new ServerTransaction(this, key, cancel, text, from);
    this.#servers.set(key, server);
    if (invite === undefined) {
      server.reply(481, 'Call/Transaction Does Not Exist');
      return;
    }
    server.reply(200, 'canceling');
    invite.cancel();
  }
}
