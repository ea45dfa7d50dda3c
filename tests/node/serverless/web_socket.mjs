// WebSockets by the driver: ordinary sessions, pipelined or not, and what only a socket can do.
import { Client, neon, neonConfig, Pool } from "@neondatabase/serverless";
import pg from "pg";
import ws from "ws";
import { compare } from "./samples.mjs";
import { assert, failure, url } from "./setup.mjs";

async function connected(options = {}) {
  const client = new Client({ connectionString: url, ...options });
  client.on("error", () => {});
  await client.connect();
  return client;
}

// ---- Pools, transactions, prepared statements ----

const pool = new Pool({ connectionString: url, max: 5 });
await pool.query("create table moves (id serial primary key, note text)");
const client = await pool.connect();
await client.query("begin");
await client.query("insert into moves (note) values ($1)", ["kept"]);
await client.query("savepoint s");
assert.equal((await failure(client.query("select 1/0"))).code, "22012");
await client.query("rollback to s");
await client.query("commit");
await client.query("begin");
await client.query("insert into moves (note) values ('undone')");
await client.query("rollback");
for (let i = 0; i < 3; i++)
  assert.deepEqual((await client.query({ name: "p", text: "select $1::int + 1 as n", values: [i] })).rows, [{ n: i + 1 }]);
client.release();
const many = await Promise.all(Array.from({ length: 40 }, (_, i) => pool.query("select $1::int as i", [i])));
assert.deepEqual(many.map(({ rows }) => rows[0].i), Array.from({ length: 40 }, (_, i) => i));
assert.deepEqual((await pool.query("select note from moves")).rows, [{ note: "kept" }]);

// ---- Values and errors are those of TCP ----

const tcp = new pg.Client({ connectionString: url });
await tcp.connect();
await compare(async (text, values, name) => (await pool.query(values ? { text, values, name } : text)).rows[0], tcp);

// ---- A large result, both ways; lock step instead of pipelining ----

const large = await pool.query("select g, repeat('x', 1000) as t from generate_series(1, 20000) g");
assert.equal(large.rows.length, 20000);
const sent = "y".repeat(5_000_000);
assert.equal((await pool.query("select length($1) as n", [sent])).rows[0].n, sent.length);
await pool.end();
neonConfig.pipelineConnect = false;
const slow = await connected();
assert.deepEqual((await slow.query("select 1 as a")).rows, [{ a: 1 }]);
await slow.end();
neonConfig.pipelineConnect = "password";

// ---- Notifications ----

const listener = await connected();
await listener.query("listen news");
const heard = new Promise((done) => listener.once("notification", done));
await neon(url)`select pg_notify('news', 'hello')`;
assert.equal((await heard).payload, "hello");
await listener.end();

// ---- Who may not come in is told, and not left waiting ----

const wrong = new URL(url);
wrong.password = "wrong";
const nowhere = new URL(wrong);
nowhere.hostname = nowhere.hostname.replace(/^ep-[^.]+/, "ep-none-such-0");
for (const { href } of [wrong, nowhere]) {
  const stranger = new Client({ connectionString: href });
  const told = new Promise((done) => stranger.on("error", done));  // The first; then it says that it was closed.
  stranger.connect().catch(() => {});
  const { code, message } = await told;
  assert.deepEqual([code, message], ["28P01", `password authentication failed for user "${wrong.username}"`]);
}

// ---- Raw: COPY, pings, the endpoint by options, hostile frames ----

const base = `wss://${new URL(url).hostname}:${process.env.SQL_PORT}`;
const { username, password, pathname, hostname } = new URL(url);

function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(type ? 5 : 4);
  if (type) head.write(type);
  head.writeInt32BE(body.length + 4, type ? 1 : 0);
  return Buffer.concat([head, body]);
}
const startup = (more = []) => message("", [0, 3, 0, 0],
  ["user", username, "database", pathname.slice(1), ...more].map((word) => `${word}\0`).join("") + "\0");
const login = (secret = decodeURIComponent(password), more = []) => Buffer.concat([startup(more), message("p", `${secret}\0`)]);

// A socket, what it has received, and a wait for that.
async function open(path = "/v2", origin = base) {
  const socket = new ws(origin + path);
  const raw = { socket, bytes: Buffer.alloc(0), closed: false, pongs: 0 };
  let wake = () => {};
  socket.on("message", (data) => { raw.bytes = Buffer.concat([raw.bytes, data]); wake(); });
  socket.on("pong", () => { raw.pongs++; wake(); });
  socket.on("close", (code) => { raw.closed = true; raw.code = code; wake(); });
  socket.on("error", () => {});
  raw.until = async (condition) => { while (!condition()) await new Promise((done) => { wake = done; }); };
  raw.has = (text) => raw.until(() => raw.bytes.includes(text) || raw.closed).then(() => assert.ok(raw.bytes.includes(text), `${text}: ${raw.bytes}`));
  await new Promise((done, fail) => { socket.once("open", done); socket.once("error", fail); });
  return raw;
}

let raw = await open();
for (const byte of Buffer.concat([login(), message("Q", "copy moves (note) from stdin\0"), message("d", "one\ntwo\n"), message("c"),
  message("Q", "copy (select note from moves order by id) to stdout\0")])) raw.socket.send(Buffer.from([byte]));
await raw.has("COPY 3");
await raw.has("two\n");
raw.socket.ping("are you there?");
await raw.until(() => raw.pongs === 1);
raw.socket.send(message("X"));
await raw.until(() => raw.closed);

const api = base.replace(/\/\/[^.]+/, "//api");
const id = hostname.split(".")[0];
raw = await open("/any/path", api);
raw.socket.send(Buffer.concat([login(undefined, ["options", `endpoint=${id}`]), message("Q", "select 'by option'\0")]));
await raw.has("by option");
raw.socket.terminate();
raw = await open("/v2", api);
raw.socket.send(Buffer.concat([login(`endpoint=${id};${decodeURIComponent(password)}`), message("Q", "select 'by password'\0")]));
await raw.has("by password");
raw.socket.close();
await raw.until(() => raw.closed);
assert.equal(raw.code, 1000);
raw = await open("/v2", api);
raw.socket.send(login());
await raw.has("Endpoint ID is not specified");
await raw.until(() => raw.closed);
raw = await open();
raw.socket.send(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
await raw.has("N");
raw.socket.send(Buffer.concat([login(), message("Q", "select 'after N'\0")]));
await raw.has("after N");
raw.socket.send("text");
await raw.until(() => raw.closed);
assert.equal(raw.code, 1003);

// A query is canceled as over TCP: by a socket of its own that begins with the request.
raw = await open();
raw.socket.send(Buffer.concat([login(), message("Q", "select pg_sleep(600)\0")]));
await raw.until(() => raw.bytes.includes("K\0\0\0\x0c") && raw.bytes.includes("Z\0\0\0\x05I"));
const key = raw.bytes.subarray(raw.bytes.indexOf("K\0\0\0\x0c") + 5).subarray(0, 8);
while ((await tcp.query("select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'")).rows[0].n === 0);
const canceling = await open();
canceling.socket.send(Buffer.concat([message("", [4, 210, 22, 46], key)]));
await canceling.until(() => canceling.closed);
await raw.has("canceling statement due to user request");
raw.socket.terminate();

// A transaction ends with its socket.
raw = await open();
raw.socket.send(Buffer.concat([login(), message("Q", "begin; insert into moves (note) values ('lost'); select 'begun'\0")]));
await raw.has("begun");
raw.socket.terminate();
while ((await tcp.query("select count(*)::int as n from pg_stat_activity where state = 'idle in transaction'")).rows[0].n > 0);
assert.equal((await tcp.query("select count(*)::int as n from moves where note = 'lost'")).rows[0].n, 0);

await tcp.query("drop table moves");
await tcp.end();
