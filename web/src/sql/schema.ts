// What a database has, asked of its own catalogs.
import { Connection, type Target } from "./connection";

const user = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'halogen') AND n.nspname !~ '^pg_(toast|temp)'";

// A readable text of the schema, in an order that does not depend on when things were made: for comparing.
const kSchemaText = `
SELECT string_agg(line, E'\\n' ORDER BY part, name, line2) FROM (
  SELECT 1 AS part, n.nspname::text AS name, '' AS line2, format('CREATE SCHEMA %I;', n.nspname) AS line
    FROM pg_namespace n WHERE ${user} AND n.nspname <> 'public'
  UNION ALL
  SELECT 2, e.extname::text, '', format('CREATE EXTENSION %I; -- %s', e.extname, e.extversion)
    FROM pg_extension e WHERE e.extname NOT IN ('plpgsql', 'halogen')
  UNION ALL
  SELECT 3, format('%I.%I', n.nspname, t.typname), '', format(E'CREATE TYPE %I.%I AS ENUM (%s);', n.nspname, t.typname,
      (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND ${user}
  UNION ALL
  SELECT 4, format('%I.%I', n.nspname, c.relname), '', format(E'\\nCREATE TABLE %I.%I (\\n%s\\n);', n.nspname, c.relname,
      (SELECT string_agg(format('  %I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
          CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
          CASE WHEN d.adbin IS NULL THEN '' WHEN a.attgenerated = 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid))
               ELSE ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END), E',\\n' ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND ${user}
      AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e')
  UNION ALL
  SELECT 5, format('%I.%I', n.nspname, c.relname), k.conname::text, format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${user}
  UNION ALL
  SELECT 6, format('%I.%I', n.nspname, c.relname), i.relname::text, pg_get_indexdef(x.indexrelid) || ';'
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${user} AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
  UNION ALL
  SELECT 7, format('%I.%I', n.nspname, c.relname), '', format(E'\\nCREATE %sVIEW %I.%I AS\\n%s', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END,
      n.nspname, c.relname, pg_get_viewdef(c.oid, true))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND ${user}
      AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e')
  UNION ALL
  SELECT 8, format('%I.%I', n.nspname, p.proname), pg_get_function_identity_arguments(p.oid), E'\\n' || pg_get_functiondef(p.oid) || ';'
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') AND ${user}
      AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid AND x.deptype = 'e')
  UNION ALL
  SELECT 9, format('%I.%I', n.nspname, c.relname), t.tgname::text, pg_get_triggerdef(t.oid) || ';'
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND ${user}
) AS parts`;

export async function schemaText(target: Target): Promise<string> {
  const connection = await Connection.open(target);
  try {
    const result = await connection.run(kSchemaText);
    return result.rows.at(0)[0] ?? "";
  } finally {
    connection.close();
  }
}

export const kTables = `
SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.reltuples::bigint AS rows,
       pg_total_relation_size(c.oid) AS bytes, c.oid,
       (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${user}
ORDER BY n.nspname <> 'public', n.nspname, c.relname`;

export interface TableInfo {
  schema: string;
  name: string;
  kind: string;
  rows: number;
  bytes: number;
  oid: string;
  columns: string[];
}

export function tableInfos(rows: Record<string, string | null>[]): TableInfo[] {
  return rows.map((row) => ({
    schema: row.schema!,
    name: row.name!,
    kind: row.kind!,
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    oid: row.oid!,
    columns: JSON.parse(row.columns ?? "[]") as string[],
  }));
}
