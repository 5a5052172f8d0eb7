// Ask the broker, and ask again where no reply comes: node ask.mjs ENDPOINT REQUEST...
//
// Each REQUEST is a JSON object; its reply is printed on a line of its own. The exit code
// is 0 if all succeeded, 1 if one was answered with an error, 4 if no reply came.
//
// Every try sends the same meta.id, so that a task is not run again because its reply was
// lost, and says how old the id is, so that a broker that has been restarted since knows
// that it may have forgotten it.
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

// npm's zeromq, found beside this file or in NODE_PATH.
const { Request } = createRequire(import.meta.url)("zeromq");

const TRIES = Number(process.env.TRIES ?? 3);
const TIMEOUT_MS = Number(process.env.TIMEOUT_MS ?? 3000);

// A REQ socket that has sent cannot send again before it has received: each try has its own.
async function attempt(endpoint, body) {
  const socket = new Request({ linger: 0, receiveTimeout: TIMEOUT_MS });
  socket.connect(endpoint);
  try {
    await socket.send(body);
    const [reply] = await socket.receive();
    return reply.toString();
  } finally {
    socket.close();
  }
}

async function ask(endpoint, request) {
  const id = randomUUID();
  const begun = performance.now();
  for (let left = TRIES; left > 0; left -= 1) {
    const age = Math.ceil(performance.now() - begun);
    // 0 says that this id has never been sent before: that is so for the first try alone.
    const fresh = { id, age_ms: left === TRIES ? 0 : age, deadline_ms: left * TIMEOUT_MS };
    // An id that the caller gives may be older than this program: its age is the caller's to say.
    const meta = request.meta?.id ? { ...fresh, age_ms: undefined, ...request.meta } : fresh;
    try {
      return await attempt(endpoint, JSON.stringify({ ...request, meta }));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
  return null;
}

const [endpoint, ...requests] = process.argv.slice(2);
for (const text of requests) {
  const reply = await ask(endpoint, JSON.parse(text));
  if (reply === null) {
    console.error(`no reply from ${endpoint} in ${TRIES} tries of ${TIMEOUT_MS} ms`);
    process.exit(4);
  }
  console.log(reply);
  if (JSON.parse(reply).success !== 0) process.exitCode = 1;
}
