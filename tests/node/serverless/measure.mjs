// For bench/sql_http.py: the same query over a pooled TCP connection by node-postgres, over HTTP and over a WebSocket by
// the driver, in turns, so that what disturbs one disturbs all. Beside them what is Node's part of it: the driver's request
// by node:https in place of fetch, by fetch a request of that size that is answered without a query, and a WebSocket whose
// writes the driver does not hold back for a timer (coalesceWrites). Or holds IDLE sessions in WebSockets until its input ends.
import { Client, neon } from "@neondatabase/serverless";
import https from "node:https";
import pg from "pg";
import { endpoint, url } from "./setup.mjs";

const { N = "2000", ROUNDS = "5", AT_ONCE = "1", IDLE } = process.env;

if (IDLE) {
  const held = [];
  while (held.length < Number(IDLE)) {
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query("select 1");
    held.push(client);
  }
  console.log("held");
  await new Promise((done) => process.stdin.on("end", done).resume());
  process.exit(0);
}

const lanes = Array.from({ length: Number(AT_ONCE) }, (_, i) => i);
async function clients(Kind, settings = {}) {
  return Promise.all(lanes.map(async () => {
    const client = new Kind({ connectionString: url });
    Object.assign(client.neonConfig ?? {}, settings);
    await client.connect();
    return client;
  }));
}
const sql = neon(url);
const tcp = await clients(pg.Client);
const socket = await clients(Client);
const direct = await clients(Client, { coalesceWrites: false });
const text = "select $1::int as n";
const headers = { "Neon-Connection-String": url, "Neon-Raw-Text-Output": "true", "Neon-Array-Mode": "true" };
const agent = new https.Agent({ keepAlive: true, maxSockets: lanes.length });
const request = (i) => JSON.stringify({ query: text, params: [String(i)] });
function byHttps(body) {
  return new Promise((done, fail) => {
    const asked = https.request(endpoint, { agent, method: "POST", headers: { ...headers, "Content-Length": body.length } }, (answer) => {
      let text = "";
      answer.on("data", (more) => { text += more; });
      answer.on("end", () => done(JSON.parse(text)));
    });
    asked.on("error", fail);
    asked.end(body);
  });
}
const nothing = new URL("/nothing", endpoint);
const kinds = {
  tcp: (lane, i) => tcp[lane].query(text, [i]).then(({ rows }) => rows[0].n),
  http: (lane, i) => sql.query(text, [i]).then(([row]) => row.n),
  https: (lane, i) => byHttps(request(i)).then(({ rows }) => Number(rows[0][0])),
  fetch: (lane, i) => fetch(nothing, { method: "POST", headers, body: request(i) }).then((answer) => answer.json()).then(() => i),
  socket: (lane, i) => socket[lane].query(text, [i]).then(({ rows }) => rows[0].n),
  direct: (lane, i) => direct[lane].query(text, [i]).then(({ rows }) => rows[0].n),
};

const times = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]));
const rates = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]));
const sessions = async () => {
  await tcp[0].query("select pg_stat_clear_snapshot()");
  return Number((await tcp[0].query("select sessions from pg_stat_database where datname = current_database()")).rows[0].sessions);
};
for (let round = -1; round < Number(ROUNDS); round++) {  // The first warms up.
  for (const [kind, ask] of Object.entries(kinds)) {
    const begin = performance.now();
    await Promise.all(lanes.map(async (lane) => {
      for (let i = 0; i < Number(N) / lanes.length; i++) {
        const since = performance.now();
        if ((await ask(lane, i)) !== i) throw new Error("a wrong answer");
        if (round >= 0) times[kind].push(performance.now() - since);
      }
    }));
    if (round >= 0) rates[kind].push((Number(N) / (performance.now() - begin)) * 1000);
  }
  if (round === -1) times.before = await sessions();
}
const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * q)];
const result = Object.fromEntries(Object.keys(kinds).map((kind) => [kind,
  { p50: quantile(times[kind], 0.5), p99: quantile(times[kind], 0.99), rate: quantile(rates[kind], 0.5) }]));
result.connects = (await sessions()) - times.before;
console.log(JSON.stringify(result));
process.exit(0);
