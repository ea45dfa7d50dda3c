// The driver with no configuration: the port is 443, names resolve here, and the CA is trusted. (Node before 22 has no WebSocket.)
import { Client, neon, neonConfig } from "@neondatabase/serverless";
import assert from "node:assert/strict";
import ws from "ws";

const url = process.env.DATABASE_URL;
if (globalThis.WebSocket === undefined) neonConfig.webSocketConstructor = ws;

assert.deepEqual(await neon(url)`select 'over HTTP' as a`, [{ a: "over HTTP" }]);
const client = new Client({ connectionString: url });
await client.connect();
assert.deepEqual((await client.query("select 'in a WebSocket' as a")).rows, [{ a: "in a WebSocket" }]);
await client.end();
