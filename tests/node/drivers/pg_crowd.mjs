// node-postgres: named statements (the same names with other texts in each client), unnamed ones, cursors.
import pg from "pg";
import Cursor from "pg-cursor";
import { assert, crowd, ROUNDS, same, transfer, url } from "./crowd.mjs";

await crowd(async (client) => {
  const connection = new pg.Client({ connectionString: url, application_name: `client ${client}` });
  await connection.connect();
  const move = { name: "move", text: "update account set balance = balance + $1 where id = $2" };
  for (let round = 0; round < ROUNDS; round++) {
    const [a, b, amount] = transfer(client, round);
    await connection.query("begin");
    await connection.query({ ...move, values: [-amount, a] });
    await connection.query({ ...move, values: [amount, b] });
    await connection.query("insert into entry values ($1, $2, $3)", [client, round, amount]);
    await connection.query("commit");
    const own = await connection.query({ name: "own", text: `select $1::int + ${client} as n, $2::text as t`, values: [round, "ü"] });
    same(own.rows, [{ n: client + round, t: "ü" }]);
    // Queries not awaited one by one: node-postgres queues them.
    const many = await Promise.all([1, 2, 3].map((i) => connection.query("select $1::int as i, now() as at", [i])));
    same(many.map((result) => result.rows[0].i), [1, 2, 3]);
    assert(many[0].rows[0].at instanceof Date);
    await assert.rejects(connection.query({ name: "fails", text: "select 1 / $1::int", values: [0] }), { code: "22012" });
  }
  same((await connection.query("show application_name")).rows, [{ application_name: `client ${client}` }]);
  await connection.query("begin");
  const cursor = connection.query(new Cursor("select round from entry where client = $1 order by round", [client]));
  const got = [];
  for (let rows; (rows = await cursor.read(4)).length > 0; ) got.push(...rows.map((row) => row.round));
  await connection.query("commit");
  same(got, Array.from({ length: ROUNDS }, (_, i) => i));
  await connection.end();
});
