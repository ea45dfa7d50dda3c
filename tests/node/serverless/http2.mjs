// Queries over HTTP/2, many at once on one connection, by Node's own client: browsers speak it, Node's fetch does not.
import http2 from "node:http2";
import pg from "pg";
import { assert, endpoint, url } from "./setup.mjs";

const { origin } = new URL(endpoint);
const tcp = new pg.Client({ connectionString: url });
await tcp.connect();

async function connected() {
  const session = http2.connect(origin);
  session.on("error", () => {});
  await new Promise((done, fail) => { session.once("connect", done); session.once("error", fail); });
  return session;
}

// The stream, and a promise of the whole answer.
function begin(session, body, headers = {}) {
  const stream = session.request({ ":method": "POST", ":path": "/sql", "neon-connection-string": url, ...headers });
  const answer = new Promise((done, fail) => {
    let head;
    const pieces = [];
    stream.on("response", (got) => { head = got; });
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("error", fail);
    stream.on("end", () => {
      const text = Buffer.concat(pieces).toString();
      let json;
      try { json = JSON.parse(text); } catch { json = undefined; }
      done({ status: head?.[":status"], head, text, json });
    });
  });
  answer.catch(() => {});
  stream.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
  return { stream, answer };
}
const ask = (session, body, headers) => begin(session, body, headers).answer;

const session = await connected();
let answer = await ask(session, { query: "select 1 as a" });
assert.equal(answer.status, 200);
assert.deepEqual(answer.json.rows, [{ a: 1 }]);
assert.equal(answer.head["access-control-allow-origin"], "*");
assert.equal(answer.head["content-type"], "application/json");
assert.equal(answer.head["connection"], undefined);

const answers = await Promise.all(Array.from({ length: 90 }, (_, i) => ask(session, { query: "select $1::int as i, pg_sleep(0.01)", params: [i] })));
assert.deepEqual(answers.map(({ json }) => json.rows[0].i), Array.from({ length: 90 }, (_, i) => i));

// ---- Errors ----

answer = await ask(session, { query: "select 1/0" });
assert.deepEqual([answer.status, answer.json.code], [400, "22012"]);
answer = await ask(session, { query: "select 1" }, { "neon-connection-string": url.replace(/:[^:@]*@/, ":wrong@") });
assert.equal(answer.status, 400);
assert.match(answer.json.message, /^password authentication failed for user/);
answer = await ask(session, { query: "select repeat('x', 11000000)" });
assert.deepEqual([answer.status, answer.json.message], [507, "response is too large (max is 10485760 bytes)"]);
answer = await ask(session, "x".repeat(11_000_000));
assert.deepEqual([answer.status, answer.json.message], [413, "request is too large (max is 10485760 bytes)"]);
answer = await ask(session, "{");
assert.equal(answer.status, 400);
answer = await ask(session, undefined, { ":method": "GET", ":path": "/other" });
assert.deepEqual([answer.status, answer.json], [400, "query is not supported"]);
answer = await ask(session, undefined, { ":method": "OPTIONS" });
assert.equal(answer.status, 200);
assert.match(answer.head["access-control-allow-headers"], /Neon-Connection-String/);

// ---- Much, both ways, and a client that takes its time ----

answer = await ask(session, { query: "select length($1) as n", params: ["x".repeat(10_000_000)] });
assert.deepEqual(answer.json.rows, [{ n: 10_000_000 }]);
const slow = begin(session, { query: "select g as n, repeat('z', 1000) as t from generate_series(1, 9000) g" });
slow.stream.pause();
const meanwhile = await ask(session, { query: "select 2 as a" });
assert.deepEqual(meanwhile.json.rows, [{ a: 2 }]);
slow.stream.resume();
answer = await slow.answer;
assert.deepEqual([answer.json.rows.length, answer.json.rows[8999].n], [9000, 9000]);

// ---- What is given up is canceled; others go on ----

const running = "select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep(600)%' and state = 'active'";
const until = async (n) => { while ((await tcp.query(running)).rows[0].n !== n) await new Promise((done) => setTimeout(done, 20)); };
const [first, second] = [begin(session, { query: "select pg_sleep(600)" }), begin(session, { query: "select pg_sleep(600), 2" })];
await until(2);
first.stream.close(http2.constants.NGHTTP2_CANCEL);
await until(1);
assert.deepEqual((await ask(session, { query: "select 3 as a" })).json.rows, [{ a: 3 }]);
session.destroy();
await until(0);
second.answer.catch(() => {});

await tcp.end();
process.exit(0);
