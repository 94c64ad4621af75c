// Process entry of the sender: options as JSON in the first argument, events and the result over the IPC channel.
import { Sender } from './sender.mjs';

const sender = new Sender(JSON.parse(process.argv[2]), (event) => process.send?.({ event }));
const result = await sender.run();
process.send?.({ event: 'done', result }, () => process.disconnect());
