// Queries over HTTP by the driver, and by hand what the driver never sends.
import { neon, types } from "@neondatabase/serverless";
import pg from "pg";
import { compare, fields } from "./samples.mjs";
import { assert, endpoint, failure, post, url } from "./setup.mjs";

const sql = neon(url);
const tcp = new pg.Client({ connectionString: url });
await tcp.connect();

// ---- Values and errors: as node-postgres has them over TCP ----

await compare(async (text, parameters) => (await sql.query(text, parameters))[0], tcp);
const name = "world";
assert.deepEqual(await sql`select ${name} || ${1}::text as hello`, [{ hello: "world1" }]);

const full = await sql.query("select 1 as a, 'x' as a", [], { fullResults: true, arrayMode: true });
assert.deepEqual(full.rows, [[1, "x"]]);
assert.equal(full.fields[0].dataTypeID, types.builtins.INT4);
assert.deepEqual([full.command, full.rowCount], ["SELECT", 1]);
const [ddl, insert, update] = await sql.transaction(
  [sql`create table things (id int primary key, name text not null)`,
    sql`insert into things select g, 'n' || g from generate_series(1, 5) g`,
    sql`update things set name = upper(name) where id > 3 returning id`], { fullResults: true });
assert.deepEqual([ddl.command, ddl.rowCount, ddl.fields, ddl.rows], ["CREATE", null, [], []]);
assert.deepEqual([insert.command, insert.rowCount], ["INSERT", 5]);
assert.deepEqual(update.rows, [{ id: 4 }, { id: 5 }]);

// ---- Who may not come in ----

const wrong = new URL(url);
wrong.password = "wrong";
assert.match((await failure(neon(wrong.href)`select 1`)).message, /^password authentication failed for user '.*'$/);
wrong.hostname = wrong.hostname.replace(/^ep-[^.]+/, "ep-none-such-0");
assert.match((await failure(neon(wrong.href)`select 1`)).message, /^password authentication failed for user '.*'$/);
const elsewhere = new URL(url);
elsewhere.pathname = "/none";
assert.equal((await failure(neon(elsewhere.href)`select 1`)).code, "3D000");

// ---- Transactions ----

const at = await sql.transaction((tx) => [tx`show transaction_isolation`, tx`show transaction_read_only`, tx`show transaction_deferrable`],
  { isolationLevel: "Serializable", readOnly: true, deferrable: true });
assert.deepEqual(at.map(([row]) => Object.values(row)[0]), ["serializable", "on", "on"]);
assert.equal((await failure(sql.transaction([sql`insert into things values (6, 'gone')`, sql`select 1/0`]))).code, "22012");
assert.deepEqual(await sql`select count(*)::int as n from things`, [{ n: 5 }]);
assert.deepEqual(await sql.transaction([]), []);

// ---- Each request begins clean ----

await sql`set statement_timeout = 12345`;
await sql`create temp table mine (a int)`;
await sql`begin`;
await sql`select pg_advisory_lock(77)`;
await sql`prepare p as select 1`;
assert.deepEqual(await sql`select current_setting('statement_timeout') as t, to_regclass('mine') as m,
  (select count(*)::int from pg_prepared_statements where name = 'p') as p`, [{ t: "0", m: null, p: 0 }]);
assert.deepEqual((await tcp.query("select pg_try_advisory_lock(77) as free")).rows, [{ free: true }]);

// ---- By hand ----

let answer = await post({ query: "select 1 as a, true as b, null as c, '{1,NULL}'::int[] as d, '{\"k\": 1}'::jsonb as e, 1.5::float8 as f, 5::int8 as g", params: [] });
assert.equal(answer.status, 200);
assert.equal(answer.headers.get("access-control-allow-origin"), "*");
assert.match(answer.headers.get("neon-request-id"), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
assert.deepEqual(answer.json.rows, [{ a: 1, b: true, c: null, d: [1, null], e: { k: 1 }, f: 1.5, g: "5" }]);
answer = await post({ query: "select $1::int[] as a, $2::jsonb as b", params: [[1, null], { x: [true] }] }, { "Neon-Raw-Text-Output": "true" });
assert.deepEqual(answer.json.rows, [{ a: "{1,NULL}", b: '{"x": [true]}' }]);
answer = await post({ queries: [{ query: "select 1 as a" }] }, { "Neon-Batch-Isolation-Level": "RepeatableRead", "Neon-Batch-Read-Only": "true" });
assert.equal(answer.headers.get("neon-batch-isolation-level"), "RepeatableRead");
assert.equal(answer.headers.get("neon-batch-read-only"), "true");
for (const [body, headers, status, message] of [
  ["{", {}, 400, /^could not parse the HTTP request body: /],
  ["[".repeat(100000), {}, 400, /^could not parse the HTTP request body: /],
  [{ query: "select 1" }, { "Neon-Connection-String": "" }, 400, /^invalid header: neon-connection-string$/],
  [{ query: "select 1" }, { "Neon-Connection-String": "mysql://a:b@c/d" }, 400, /^incorrect scheme$/],
  [{ query: "select 1" }, { "Neon-Connection-String": url.replace(/:[^:@]*@/, "@") }, 400, /^missing authentication credentials: required password$/],
  [{ queries: [] }, { "Neon-Batch-Isolation-Level": "snapshot" }, 400, /^invalid isolation level$/],
  [{ query: "select 1", params: ["x".repeat(10 * 1024 * 1024)] }, {}, 413, /^request is too large \(max is 10485760 bytes\)$/],
  [{ query: "select repeat('x', 11000000)" }, {}, 507, /^response is too large \(max is 10485760 bytes\)$/],
  [{ query: "select g, repeat('y', 1000) from generate_series(1, 1000000) g" }, {}, 507, /^response is too large/],
  [{ query: "copy things from stdin" }, {}, 400, /COPY from stdin failed/],
  [{ query: "copy things to stdout" }, {}, 400, /COPY TO STDOUT/],
  [{ query: "select '\u0000'" }, {}, 400, /zero byte/],
]) {
  const refused = await post(body, headers);
  assert.equal(refused.status, status, refused.text);
  assert.match(refused.json.message, message);
  assert.deepEqual(Object.keys(refused.json).sort(), [...fields].sort());
}
answer = await post({ query: "select length($1) as n", params: ["x".repeat(10 * 1024 * 1024 - 100)] });
assert.deepEqual(answer.json.rows, [{ n: 10 * 1024 * 1024 - 100 }]);
const large = await sql`select g as n, repeat('z', 1000) as t from generate_series(1, 9000) g`;
assert.deepEqual([large.length, large[8999].n], [9000, 9000]);
answer = await post("", {}, { method: "OPTIONS", body: undefined });
assert.equal(answer.status, 200);
assert.match(answer.headers.get("access-control-allow-headers"), /Neon-Connection-String.*Neon-Batch-Deferrable/);
for (const [method, path] of [["GET", "/sql"], ["POST", "/other"], ["DELETE", "/sql"]]) {
  const other = await fetch(new URL(path, endpoint), { method });
  assert.equal(other.status, 400);
  assert.equal(await other.json(), "query is not supported");
}

// ---- Many ----

const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => sql`select ${i}::int as i, pg_sleep(0.001)`));
assert.deepEqual(answers.map(([row]) => row.i), Array.from({ length: 200 }, (_, i) => i));
for (let i = 0; i < Number(process.env.SEQUENTIAL ?? 300); i++) assert.equal((await sql`select ${i}::int as i`)[0].i, i);

// ---- A client that leaves has its query canceled ----

const running = "select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep(600)%' and state = 'active'";
const count = async () => (await tcp.query(running)).rows[0].n;
const until = async (n) => { while ((await count()) !== n) await new Promise((done) => setTimeout(done, 20)); };
const leaving = new AbortController();
const left = failure(post({ query: "select pg_sleep(600)" }, {}, { signal: leaving.signal }));
await until(1);
leaving.abort();
await left;
await until(0);

await tcp.query("drop table things");
await tcp.end();
