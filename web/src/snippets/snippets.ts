// What one copies into an application, for one connection. tests/console runs each as it stands.

export interface Connection {
  uri: string; // With its password, if it is known.
  password: string | null;
  caFile: string;
  sqlPort: number;
}

export interface Snippet {
  id: string;
  name: string;
  language: "shell" | "python" | "js" | "yaml" | "go" | "java" | "prisma" | "env";
  file: string; // What it is the content of; for a shell, empty.
  code: string;
  before?: { file: string; code: string }; // Another file that it needs.
  install?: string; // Brings what it needs.
  run?: string; // Runs it, where .env is beside it.
  note?: string;
  needsEnv: boolean; // It reads DATABASE_URL.
}

interface Parts {
  user: string;
  password: string;
  host: string;
  port: string;
  database: string;
}

export function parts(uri: string): Parts {
  const url = new URL(uri.replace(/^postgres(ql)?:/, "http:"));
  return {
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    host: url.hostname,
    port: url.port || (uri.match(/@[^/]*:(\d+)/)?.[1] ?? "5432"),
    database: decodeURIComponent(url.pathname.slice(1)),
  };
}

const node = (caFile: string, file: string) => `export NODE_EXTRA_CA_CERTS=${caFile}\nnode --env-file=.env ${file}`;

export function snippets({ uri, password, caFile, sqlPort }: Connection): Snippet[] {
  const to = parts(uri);
  const shown = password ?? "<password>";
  const jdbc =
    `jdbc:postgresql://${to.host}:${to.port}/${encodeURIComponent(to.database)}` +
    `?user=${encodeURIComponent(to.user)}&password=${encodeURIComponent(shown)}&sslmode=require&channelBinding=require`;
  return [
    {
      id: "psql",
      name: "psql",
      language: "shell",
      file: "",
      code: `psql '${uri}'`,
      install: "apt-get install postgresql-client",
      needsEnv: false,
    },
    {
      id: "env",
      name: ".env",
      language: "env",
      file: ".env",
      code: [
        `DATABASE_URL="${uri}"`,
        "",
        `PGHOST="${to.host}"`,
        `PGPORT="${to.port}"`,
        `PGDATABASE="${to.database}"`,
        `PGUSER="${to.user}"`,
        `PGPASSWORD="${shown}"`,
        `PGSSLMODE="require"`,
      ].join("\n"),
      note: "Keep it out of version control. The other snippets read DATABASE_URL.",
      needsEnv: false,
    },
    {
      id: "psycopg",
      name: "psycopg",
      language: "python",
      file: "app.py",
      install: "pip install 'psycopg[binary]'",
      code: `import os

import psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(connection.execute("SELECT version()").fetchone()[0])
`,
      needsEnv: true,
    },
    {
      id: "psycopg2",
      name: "psycopg2",
      language: "python",
      file: "app.py",
      install: "pip install psycopg2-binary",
      code: `import os

import psycopg2

connection = psycopg2.connect(os.environ["DATABASE_URL"])
with connection, connection.cursor() as cursor:
    cursor.execute("SELECT version()")
    print(cursor.fetchone()[0])
connection.close()
`,
      needsEnv: true,
    },
    {
      id: "asyncpg",
      name: "asyncpg",
      language: "python",
      file: "app.py",
      install: "pip install asyncpg",
      code: `import asyncio
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    print(await connection.fetchval("SELECT version()"))
    await connection.close()


asyncio.run(main())
`,
      needsEnv: true,
    },
    {
      id: "sqlalchemy",
      name: "SQLAlchemy",
      language: "python",
      file: "app.py",
      install: "pip install sqlalchemy psycopg2-binary",
      code: `import os

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    print(connection.execute(text("SELECT version()")).scalar())
`,
      needsEnv: true,
    },
    {
      id: "django",
      name: "Django",
      language: "python",
      file: "settings.py",
      install: "pip install django psycopg2-binary",
      code: `import os
from urllib.parse import parse_qsl, unquote, urlsplit

url = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username),
        "PASSWORD": unquote(url.password),
        "HOST": url.hostname,
        "PORT": url.port or 5432,
        "OPTIONS": dict(parse_qsl(url.query)),
    }
}
`,
      needsEnv: true,
    },
    {
      id: "prisma",
      name: "Prisma",
      language: "js",
      file: "app.mjs",
      install: "npm install prisma@6 @prisma/client@6 @prisma/adapter-pg@6",
      before: {
        file: "schema.prisma",
        code: `datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

generator client {
  provider   = "prisma-client-js"
  engineType = "client"
}
`,
      },
      code: `import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";

const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
const prisma = new PrismaClient({ adapter });
const [row] = await prisma.$queryRaw\`SELECT version()\`;
console.log(row.version);
await prisma.$disconnect();
`,
      run: `npx prisma generate\n${node(caFile, "app.mjs")}`,
      note: "Migrations work over the pooled string, too: no directUrl is needed.",
      needsEnv: true,
    },
    {
      id: "drizzle",
      name: "Drizzle",
      language: "js",
      file: "app.mjs",
      install: "npm install drizzle-orm pg",
      code: `import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";

const db = drizzle(process.env.DATABASE_URL);
const { rows } = await db.execute(sql\`SELECT version()\`);
console.log(rows[0].version);
await db.$client.end();
`,
      run: node(caFile, "app.mjs"),
      needsEnv: true,
    },
    {
      id: "node-postgres",
      name: "node-postgres",
      language: "js",
      file: "app.mjs",
      install: "npm install pg",
      code: `import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const { rows } = await pool.query("SELECT version()");
console.log(rows[0].version);
await pool.end();
`,
      run: node(caFile, "app.mjs"),
      needsEnv: true,
    },
    {
      id: "serverless",
      name: "Serverless driver",
      language: "js",
      file: "app.mjs",
      install: "npm install @neondatabase/serverless",
      code: `import { neon, neonConfig } from "@neondatabase/serverless";

neonConfig.fetchEndpoint = (host) => \`https://\${host.replace(/^[^.]+/, "api")}:${sqlPort}/sql\`;

const sql = neon(process.env.DATABASE_URL);
const [row] = await sql\`SELECT version()\`;
console.log(row.version);
`,
      run: node(caFile, "app.mjs"),
      note: "SQL over HTTPS, one request a query: for edge functions and wherever there are no TCP connections.",
      needsEnv: true,
    },
    {
      id: "rails",
      name: "Rails",
      language: "yaml",
      file: "config/database.yml",
      install: "bundle add pg",
      code: `default: &default
  adapter: postgresql
  encoding: unicode
  url: <%= ENV["DATABASE_URL"] %>
  pool: <%= ENV.fetch("RAILS_MAX_THREADS") { 5 } %>

development:
  <<: *default

production:
  <<: *default
`,
      note: "Prepared statements stay on: the pooler moves them with the session.",
      needsEnv: true,
    },
    {
      id: "go",
      name: "Go",
      language: "go",
      file: "main.go",
      install: "go get github.com/jackc/pgx/v5",
      code: `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

func main() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)

	var version string
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		panic(err)
	}
	fmt.Println(version)
}
`,
      needsEnv: true,
    },
    {
      id: "java",
      name: "Java",
      language: "java",
      file: "Main.java",
      code: `import java.sql.DriverManager;

public class Main {
    public static void main(String[] args) throws Exception {
        var url = "${jdbc}";
        try (var connection = DriverManager.getConnection(url);
             var rows = connection.createStatement().executeQuery("SELECT version()")) {
            rows.next();
            System.out.println(rows.getString(1));
        }
    }
}
`,
      note: "With org.postgresql:postgresql on the class path.",
      needsEnv: false,
    },
  ];
}
