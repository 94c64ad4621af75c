// Process entry: node main.mjs PORT. With BENCH_HAND_OVER=1 the main thread only has the socket, and a worker everything else.
import { Proxy } from './proxy.mjs';
import * as routes from './routes.mjs';
import { UdpSocket } from './udp-socket.mjs';
import { WorkerGroup } from './worker-group.mjs';

const kWorkers = 1;
const local = { address: '127.0.0.1', port: Number(process.argv[2]) };
const handOver = process.env.BENCH_HAND_OVER === '1';

/** Calls in a worker that has died cannot be answered by it; the next start has a clean one. @param {unknown} error */
function dieWithWorker(error) {
  console.error(error);
  process.exit(1);
}

/** @type {UdpSocket} */
let socket;
/** @type {WorkerGroup} */
let group;

if (handOver) {
  group = new WorkerGroup(
    kWorkers,
    { local, handOver },
    (/** @type {[string, number, string][]} */ datagrams) => {
      for (const [text, port, address] of datagrams) socket.send(Buffer.from(text, 'latin1'), { port, address });
    },
    dieWithWorker,
  );
  socket = new UdpSocket((text, from) => group.push([text, from.port, from.address]));
} else {
  group = new WorkerGroup(kWorkers, { local, handOver }, (replies) => proxy.onReplies(replies), dieWithWorker);
  const proxy = new Proxy({
    local,
    send: (bytes, to) => socket.send(bytes, to),
    routes,
    pushTask: (task) => group.push(task),
  });
  socket = new UdpSocket((text, from) => proxy.layer.receive(text, from));
}

await socket.bind(local.address, local.port);
console.log(`listening on udp:${local.address}:${local.port}`);

process.once('SIGTERM', async () => {
  socket.close();
  await group.stop();
  process.exit(0);
});
