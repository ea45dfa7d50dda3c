// Sessions in WebSockets outlive their compute: the test suspends it whenever we say so on standard output.
import { Client, neon } from "@neondatabase/serverless";
import { createInterface } from "node:readline";
import { assert, url } from "./setup.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function suspended() {
  console.log("suspend");
  assert.equal((await lines.next()).value, "suspended");
}

const client = new Client({ connectionString: url });
await client.connect();
await client.query("set application_name = 'kept'");
await client.query({ name: "p", text: "select $1::int as n", values: [1] });
await suspended();
assert.deepEqual((await client.query({ name: "p", text: "select $1::int as n", values: [2] })).rows, [{ n: 2 }]);
assert.deepEqual((await client.query("show application_name")).rows, [{ application_name: "kept" }]);
await suspended();
assert.deepEqual(await neon(url)`select 'woken over HTTP' as w`, [{ w: "woken over HTTP" }]);
assert.deepEqual((await client.query("show application_name")).rows, [{ application_name: "kept" }]);
await client.end();
console.log("done");
process.exit(0);
