// async() with a database: the call waits while the caller's credit is looked up, and the resume route logs it, or the error.
// Without DATABASE_URL it is a database in memory in which the caller of examples/call.mjs has 7.
// npm install better-sqlite3 && npx sip-async run examples/credit.mjs
import { defineProxy } from 'sip-async';
import { openDatabase, query } from 'sip-async/ops';

const { DATABASE_URL = 'sqlite::memory:' } = process.env;

// Each thread that loads this module has connections of its own; they are made when they are needed.
const users = openDatabase(DATABASE_URL);
const creditOf = (uid) => query(users, `SELECT credit FROM users WHERE uid = ${users.kind === 'postgres' ? '$1' : '?'}`, [uid]);

if (process.env.DATABASE_URL === undefined) {
  // An operation works without a call, too.
  const run = (sql) => query(users, sql)(AbortSignal.timeout(5000));
  await run('CREATE TABLE users (uid TEXT PRIMARY KEY, credit INTEGER NOT NULL)');
  await run("INSERT INTO users VALUES ('caller', 7)");
}

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],

  requestRoute(msg) {
    if (msg.method === 'ACK') return;
    msg.async(creditOf(msg.fromUser), 'CREDIT', { timeout: 5 }); // an INVITE gets its 100
    console.error(`not asked: ${msg.asyncError.code}`);
    msg.slSendReply(503, 'Try Again');
  },

  route: {
    CREDIT(msg) {
      if (msg.rc < 0) {
        console.error(`credit of ${msg.fromUser}: ${msg.result.message}`);
        msg.sendReply(500, 'Server Internal Error');
        return;
      }
      const [user] = msg.result.rows;
      console.log(`credit of ${msg.fromUser}: ${user?.credit ?? 'none'}`);
      if (user === undefined) msg.sendReply(403, 'Forbidden');
      else if (user.credit <= 0) msg.sendReply(402, 'Payment Required');
      else msg.sendReply(404, 'Not Found');
    },
  },
});
