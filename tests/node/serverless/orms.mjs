// Libraries that stand on the driver.
import { neon, Pool } from "@neondatabase/serverless";
import { eq, sql as text } from "drizzle-orm";
import { drizzle as overHttp } from "drizzle-orm/neon-http";
import { drizzle as overSocket } from "drizzle-orm/neon-serverless";
import { integer, jsonb, pgTable, serial, text as textColumn, timestamp } from "drizzle-orm/pg-core";
import { Kysely, PostgresDialect } from "kysely";
import { PrismaNeon, PrismaNeonHTTP } from "@prisma/adapter-neon";
import { assert, failure, url } from "./setup.mjs";

const people = pgTable("people", { id: serial("id").primaryKey(), name: textColumn("name").notNull(), age: integer("age"),
  tags: textColumn("tags").array(), extra: jsonb("extra"), at: timestamp("at", { withTimezone: true }).defaultNow() });

const http = overHttp({ client: neon(url) });
await http.execute(text`create table people (id serial primary key, name text not null unique, age int, tags text[], extra jsonb, at timestamptz default now())`);
const [added] = await http.insert(people).values({ name: "Ada", age: 36, tags: ["a,b", "c"], extra: { k: [1, null] } }).returning();
assert.deepEqual({ ...added, at: added.at instanceof Date }, { id: 1, name: "Ada", age: 36, tags: ["a,b", "c"], extra: { k: [1, null] }, at: true });
const [grown, all] = await http.batch([http.update(people).set({ age: 37 }).where(eq(people.name, "Ada")).returning({ age: people.age }),
  http.select({ name: people.name, age: people.age }).from(people)]);
assert.deepEqual([grown, all], [[{ age: 37 }], [{ name: "Ada", age: 37 }]]);

const pool = new Pool({ connectionString: url, max: 3 });
const socket = overSocket({ client: pool });
await failure(socket.transaction(async (tx) => {
  await tx.insert(people).values({ name: "Bob" });
  tx.rollback();
}));
await socket.transaction(async (tx) => {
  await tx.insert(people).values({ name: "Cid", age: 1 });
  assert.equal((await tx.select().from(people)).length, 2);
}, { isolationLevel: "serializable" });

const kysely = new Kysely({ dialect: new PostgresDialect({ pool }) });
assert.deepEqual(await kysely.selectFrom("people").select(["name", "age"]).orderBy("id").execute(), [{ name: "Ada", age: 37 }, { name: "Cid", age: 1 }]);
await kysely.transaction().execute(async (tx) => {
  await tx.updateTable("people").set({ age: 2 }).where("name", "=", "Cid").execute();
});

// Prisma's client is generated code; its adapter is what talks to us.
for (const factory of [new PrismaNeon({ connectionString: url }), new PrismaNeonHTTP(url, {})]) {
  const adapter = await factory.connect();
  const found = await adapter.queryRaw({ sql: "select name, age from people where age = $1", args: [2], argTypes: [{ scalarType: "int", arity: "scalar" }] });
  assert.deepEqual([found.columnNames, found.rows], [["name", "age"], [["Cid", 2]]]);
  const clash = await failure(adapter.executeRaw({ sql: "insert into people (name) values ('Ada')", args: [], argTypes: [] }));
  assert.match(clash.cause?.kind ?? clash.code, /^(UniqueConstraintViolation|23505)$/);  // The adapter over HTTP passes it on as it is.
  await adapter.dispose();
}
await http.execute(text`drop table people`);
await pool.end();
