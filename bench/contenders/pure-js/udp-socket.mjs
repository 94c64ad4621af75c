// The UDP socket: datagrams in, datagrams out, nothing of SIP.
import { createSocket } from 'node:dgram';

const kBufferBytes = 4 << 20;

/** @typedef {{ address: string, port: number }} Peer */

/**
 * Destinations are addresses. Node would ask its resolver for each datagram all the same, and send a tick later.
 * @param {string} address
 * @param {unknown} _options
 * @param {(error: null, address: string, family: number) => void} callback
 */
const alreadyAddress = (address, _options, callback) => callback(null, address, 4);

export class UdpSocket {
  #socket = createSocket({
    type: 'udp4',
    recvBufferSize: kBufferBytes,
    sendBufferSize: kBufferBytes,
    lookup: /** @type {any} */ (alreadyAddress),
  });

  /** @param {(text: string, from: Peer) => void} onDatagram */
  constructor(onDatagram) {
    this.#socket.on('message', (bytes, from) => onDatagram(bytes.toString('latin1'), from));
    // A peer that is gone shows as an error of the next call; its transaction runs out by itself.
    this.#socket.on('error', () => {});
  }

  /** @param {string} address @param {number} port @returns {Promise<void>} */
  bind(address, port) {
    return new Promise((resolve, reject) => {
      this.#socket.once('error', reject);
      this.#socket.bind(port, address, () => {
        this.#socket.off('error', reject);
        resolve();
      });
    });
  }

  /** @param {Buffer} bytes @param {Peer} to */
  send(bytes, to) {
    this.#socket.send(bytes, to.port, to.address);
  }

  close() {
    this.#socket.close();
  }
}
