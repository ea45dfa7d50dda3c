import { index, integer, pgEnum, pgTable, serial, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";

export const kind = pgEnum("kind", ["cat", "dog"]);

export const owner = pgTable("owner", {
  id: serial().primaryKey(),
  name: text().notNull(),
  email: text(),
}, (table) => [uniqueIndex("owner_email").on(table.email)]);

export const pet = pgTable("pet", {
  id: serial().primaryKey(),
  ownerId: integer("owner_id").notNull().references(() => owner.id),
  kind: kind().notNull().default("cat"),
  born: timestamp({ withTimezone: true }).defaultNow(),
}, (table) => [index("pet_owner").on(table.ownerId)]);
