// Prisma's schema engine as WebAssembly over node-postgres: its native engines are not on the npm registry.
import { PrismaPg } from "@prisma/adapter-pg";
import { defineConfig } from "prisma/config";

// Types of catalogs that this version of the adapter does not know, and what it may read them as: "char", name, their arrays.
const AS_TEXT: Record<number, number> = { 18: 25, 19: 25, 1002: 1009, 1003: 1009 };

class Adapter extends PrismaPg {
  async connect() {
    const connected: any = await super.connect();
    const perform = connected.performIO.bind(connected);
    connected.performIO = async (query: unknown) => {
      const result = await perform(query);
      for (const field of result.fields) field.dataTypeID = AS_TEXT[field.dataTypeID] ?? field.dataTypeID;
      return result;
    };
    return connected;
  }
}

export default defineConfig({
  schema: "schema.prisma",
  migrations: { path: "migrations" },
  engine: "js",
  experimental: { adapter: true },
  // Without the timeout the program waits ten seconds for its pool before it ends.
  adapter: async () => new Adapter({ connectionString: process.env.DATABASE_URL, idleTimeoutMillis: 200 }),
});
