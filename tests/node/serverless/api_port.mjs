// Queries and a WebSocket at the port of the API and the console, by the driver, by TLS or in the clear.
import { Client, neon, neonConfig } from "@neondatabase/serverless";
import assert from "node:assert/strict";
import ws from "ws";

const { DATABASE_URL: url, HTTP_PORT: port, SECURE: secure } = process.env;
neonConfig.fetchEndpoint = (host) => secure ? `https://${host.replace(/^[^.]+/, "api")}:${port}/sql` : `http://127.0.0.1:${port}/sql`;
neonConfig.wsProxy = (host) => `${host}:${port}/v2`;
neonConfig.useSecureWebSocket = secure !== undefined;
neonConfig.webSocketConstructor = ws;

const sql = neon(url);
const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => sql`select ${i}::int as i`));
assert.deepEqual(answers.map(([row]) => row.i), Array.from({ length: 50 }, (_, i) => i));
const text = "x".repeat(2_000_000);
assert.equal((await sql`select length(${text}) as n`)[0].n, text.length);

const client = new Client({ connectionString: url });
await client.connect();
for (let i = 0; i < 50; i++) assert.equal((await client.query("select $1::int as i", [i])).rows[0].i, i);
await client.end();
