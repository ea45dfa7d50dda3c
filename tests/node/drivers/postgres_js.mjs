// postgres.js with its defaults: prepares every statement, and sends queries on one connection without waiting.
import postgres from "postgres";
import { assert, crowd, ROUNDS, same, transfer, url } from "./crowd.mjs";

const prepare = process.env.PREPARE !== "false";
await crowd(async (client) => {
  const sql = postgres(url, { max: 1, prepare, connection: { application_name: `client ${client}` }, onnotice: () => {} });
  for (let round = 0; round < ROUNDS; round++) {
    const [a, b, amount] = transfer(client, round);
    const inserted = await sql.begin(async (sql) => {
      await sql`update account set balance = balance - ${amount} where id = ${a}`;
      await sql`update account set balance = balance + ${amount} where id = ${b}`;
      return sql`insert into entry values (${client}, ${round}, ${amount}) returning client, round`;
    });
    same([...inserted], [{ client, round }]);
    const many = await Promise.all(Array.from({ length: 10 }, (_, i) => sql`select ${i}::int + ${client}::int as n`));
    same(many.map((rows) => rows[0].n), Array.from({ length: 10 }, (_, i) => i + client));
    await assert.rejects(sql`select 1 / ${0}::int`, { code: "22012" });
  }
  const parts = [];
  await sql`select round from entry where client = ${client} order by round`.cursor(4, (rows) => { parts.push(...rows.map((r) => r.round)); });
  same(parts, Array.from({ length: ROUNDS }, (_, i) => i));
  same((await sql`select current_setting('application_name') as a`)[0].a, `client ${client}`);
  await sql.end();
});
