// node-postgres as a pool, and with its own pipelining: many queries on the wire, answers in order.
import pg from "pg";
import { assert, crowd, ROUNDS, same, url } from "./crowd.mjs";

const pool = new pg.Pool({ connectionString: url, max: 20 });
await crowd(async (client) => {
  for (let round = 0; round < ROUNDS; round++) {
    const { rows } = await pool.query({ name: `n${client % 5}`, text: `select ${client % 5} as k, $1::int as v`, values: [round] });
    same(rows, [{ k: client % 5, v: round }]);
  }
});
const errors = await Promise.allSettled([pool.query("select 1/0"), pool.query("select nothing"), pool.query("select 1 as one")]);
same(errors.map((e) => e.reason?.code), ["22012", "42703", undefined]);
await pool.end();

const connection = new pg.Client({ connectionString: url, pipeline: true });
await connection.connect();
const results = await Promise.allSettled(Array.from({ length: 100 }, (_, i) =>
  i % 10 === 9 ? connection.query("select 1 / $1::int", [0])
               : connection.query({ name: i % 2 ? "p" : undefined, text: "select $1::int * 2 as d", values: [i] })));
results.forEach((result, i) => {
  if (i % 10 === 9) assert.equal(result.reason.code, "22012");
  else same(result.value.rows, [{ d: i * 2 }]);
});
await connection.end();
