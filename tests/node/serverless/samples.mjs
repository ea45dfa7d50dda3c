// What is asked the same way over HTTP, over a WebSocket and over TCP, and must be answered the same.
import { assert, failure } from "./setup.mjs";

export const values = `select 1::int2 as a, 2::int4 as b, 9007199254740993::int8 as c, 1.50::numeric as d, 'x'::text as e,
  true as f, null::int as g, '2024-02-03'::date as h, '2024-02-03 04:05:06.789'::timestamp as i,
  '2024-02-03 04:05:06.789+02'::timestamptz as j, '1 day 02:03'::interval as k, '\\x00ff10'::bytea as l,
  '{"a": [1, null, "é"]}'::json as m, '{"b": {"c": 1}}'::jsonb as n, '{1,NULL,3}'::int[] as o,
  '{"a,b","c\\"d",NULL}'::text[] as p, '{{1,2},{3,4}}'::int[][] as q, 'NaN'::float8 as r, 1.5e300::float8 as s,
  '1f9ab8d3-9d3a-4f5e-8b89-2f6e2a3f0b11'::uuid as t, '[1,5)'::int4range as u, E'\\u0001 "\\\\ \\n ü😀' as v,
  '127.0.0.1'::inet as w, ''::text as x, '{t,f}'::bool[] as y, array['\\x01'::bytea] as z, '-infinity'::timestamptz as aa,
  '[2:3]={1,2}'::int[] as ab, '{}'::int[] as ac, 'null'::json as ad, array['{"k": [1]}'::jsonb, null] as ae, 'Infinity'::float4 as af,
  '(1,2)'::point as ag, B'101' as ah, 'x'::"char" as ai, 'a'::name as aj, '12:34:56.789+01'::timetz as ak, '$1.50'::money as al,
  row(1, 'a,b', null) as am, '<a/>'::xml as an, 1::oid as ao, 'pg_class'::regclass as ap, '\\x'::bytea as aq,
  repeat('z', 100000) as ar`;

const text = `select $1::int as a, $2::float8 as b, $3::text as c, $4::bool as d, $5::text as e, $6::jsonb as f, $7::int[] as g,
  $8::text[] as h, $9::timestamptz as i, $10::bytea as j`;
const asked = [1, 2.5, "text with ' and \"", true, null, { a: [1, "2"] }, [1, 2], ["a\"b\\", null], new Date(0), Buffer.from([0, 255])];

const fields = ["message", "severity", "code", "detail", "hint", "position", "internalPosition", "internalQuery", "where",
  "schema", "table", "column", "dataType", "constraint", "file", "line", "routine"];

const prepare = `create table samples (id int primary key, name text not null, check (id < 100), age int);
  insert into samples values (1, 'one'), (2, 'two');
  create domain positive as int constraint is_positive check (value > 0);
  create function broken() returns int language plpgsql as $$ begin return (select nothing_there); end $$;
  create function loud() returns int language plpgsql as $$ begin
    raise exception 'said so' using errcode = 'ZX123', detail = 'in detail', hint = 'a hint', schema = 's', table = 't', column = 'c',
      datatype = 'd', constraint = 'k'; end $$`;
const bad = ["select nothing", "select 1/0", "insert into samples values (1, 'twice')", "insert into samples values (9, null)",
  "insert into samples values (100, 'large')", "select (-1)::positive", "select loud()", "select * from samples where", "select broken()",
  "select '{'::json", "select pg_advisory_lock(1, 2, 3)", "insert into samples (id, nmae) values (7, 'x')", "select 1; select 2"];

// Classes of a driver's own apart.
const plain = (row) => JSON.parse(JSON.stringify(row));

// `ask(text, parameters, name)` gives the first row by the way that is tested, of a statement of that name where there are such;
// `tcp` is a connected client of node-postgres.
export async function compare(ask, tcp) {
  assert.deepEqual(plain(await ask(values)), plain((await tcp.query(values)).rows[0]));
  assert.deepEqual(plain(await ask(text, asked)), plain((await tcp.query(text, asked)).rows[0]));
  await tcp.query(prepare);
  for (const [i, wrong] of bad.entries()) {
    const got = await failure(ask(wrong, [], `bad${i}`));
    const want = await failure(tcp.query({ text: wrong, values: [], name: `bad${i}` }));  // By the extended protocol, too.
    for (const field of fields) assert.equal(got[field] ?? undefined, want[field], `${wrong}: ${field}`);
    assert.equal(typeof want.code, "string", wrong);
  }
  await tcp.query("drop table samples; drop function broken(); drop function loud(); drop domain positive");
}
export { fields };
