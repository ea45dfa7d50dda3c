// A table's description, its rows, and changes to them: parameterised, all in one transaction.
import { type HttpTarget, objects, query, type Statement } from "./http";
import type { Cell } from "./rows";
import { quoteLiteral, quoteName } from "./split";

export interface ColumnInfo {
  name: string;
  type: string;
  notNull: boolean;
  default: string | null;
  generated: boolean;
  key: boolean; // Of the primary key.
}

export interface TableDetails {
  columns: ColumnInfo[];
  indexes: { name: string; definition: string }[];
  constraints: { name: string; definition: string; kind: string }[];
  editable: boolean;
}

const kColumns = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       pg_get_expr(d.adbin, d.adrelid) AS default, (a.attgenerated <> '' OR a.attidentity = 'a') AS generated,
       coalesce(a.attnum = ANY (i.indkey), false) AS key
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;
const kIndexes = `
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid ORDER BY 1`;
const kConstraints = `
SELECT conname AS name, pg_get_constraintdef(oid) AS definition, contype AS kind
FROM pg_constraint WHERE conrelid = $1::oid ORDER BY contype <> 'p', 1`;

export async function tableDetails(target: HttpTarget, oid: string, kind: string, signal?: AbortSignal): Promise<TableDetails> {
  const [columns, indexes, constraints] = await Promise.all(
    [kColumns, kIndexes, kConstraints].map(async (sql) => objects(await query(target, sql, [oid], signal))),
  );
  const described = columns.map((one) => ({
    name: one.name!,
    type: one.type!,
    notNull: one.not_null === "t",
    default: one.default,
    generated: one.generated === "t",
    key: one.key === "t",
  }));
  return {
    columns: described,
    indexes: indexes.map((one) => ({ name: one.name!, definition: one.definition! })),
    constraints: constraints.map((one) => ({ name: one.name!, definition: one.definition!, kind: one.kind! })),
    editable: (kind === "r" || kind === "p") && described.some((one) => one.key),
  };
}

export const operators = ["=", "<>", "<", ">", "<=", ">=", "contains", "is null", "is not null"] as const;
export interface Filter {
  column: string;
  operator: (typeof operators)[number];
  value: string;
}

export interface View {
  filters: Filter[];
  sort?: { column: string; descending: boolean };
  page: number;
  size: number;
}

const tableName = (schema: string, name: string) => `${quoteName(schema)}.${quoteName(name)}`;

// One row more than a page, which tells whether there is another.
export function selectRows(schema: string, name: string, details: TableDetails, view: View): Statement {
  const params: string[] = [];
  const conditions = view.filters.map((filter) => {
    const column = quoteName(filter.column);
    if (filter.operator === "is null" || filter.operator === "is not null") return `${column} ${filter.operator.toUpperCase()}`;
    params.push(filter.value);
    if (filter.operator === "contains") return `strpos(lower(${column}::text), lower($${params.length})) > 0`;
    return `${column} ${filter.operator} $${params.length}`;
  });
  const key = details.columns.filter((one) => one.key).map((one) => quoteName(one.name));
  const order = [
    ...(view.sort ? [`${quoteName(view.sort.column)} ${view.sort.descending ? "DESC" : "ASC"} NULLS LAST`] : []),
    ...key.filter((one) => one !== quoteName(view.sort?.column ?? "")),
  ];
  return {
    query:
      `SELECT * FROM ${tableName(schema, name)}` +
      (conditions.length ? ` WHERE ${conditions.join(" AND ")}` : "") +
      (order.length ? ` ORDER BY ${order.join(", ")}` : "") +
      ` LIMIT ${view.size + 1} OFFSET ${view.page * view.size}`,
    params,
  };
}

export type Change =
  | { kind: "update"; row: Cell[]; values: Record<string, Cell> }
  | { kind: "insert"; values: Record<string, Cell> }
  | { kind: "delete"; row: Cell[] };

interface Written {
  sql: string; // For people: with its values in it.
  statement: Statement; // What is sent.
}

// Each must meet exactly its row, as it was seen: 1 / count(*) ends the transaction otherwise (22012).
export function changeStatements(schema: string, name: string, details: TableDetails, changes: Change[]): Written[] {
  const table = tableName(schema, name);
  return changes.map((change) => {
    const params: Cell[] = [];
    const shown: string[] = [];
    const put = (value: Cell) => {
      params.push(value);
      shown.push(quoteLiteral(value));
      return `$${params.length}`;
    };
    const inPlace = (sql: string) => sql.replace(/\$(\d+)/g, (_, index: string) => shown[Number(index) - 1]);
    if (change.kind === "insert") {
      const columns = Object.keys(change.values);
      const sql =
        columns.length === 0
          ? `INSERT INTO ${table} DEFAULT VALUES`
          : `INSERT INTO ${table} (${columns.map(quoteName).join(", ")}) VALUES (${columns.map((column) => put(change.values[column])).join(", ")})`;
      return { sql: `${inPlace(sql)};`, statement: { query: sql, params } };
    }
    const set =
      change.kind === "update"
        ? ` SET ${Object.entries(change.values)
            .map(([column, value]) => `${quoteName(column)} = ${put(value)}`)
            .join(", ")}`
        : "";
    const index = (column: string) => details.columns.findIndex((one) => one.name === column);
    const where = details.columns
      .filter((one) => one.key)
      .map((one) => `${quoteName(one.name)} = ${put(change.row[index(one.name)])}`)
      .concat(
        change.kind === "update"
          ? Object.keys(change.values)
              .filter((column) => !details.columns[index(column)].key)
              .map((column) => `${quoteName(column)}::text IS NOT DISTINCT FROM ${put(change.row[index(column)])}`)
          : [],
      )
      .join(" AND ");
    const sql = change.kind === "update" ? `UPDATE ${table}${set} WHERE ${where}` : `DELETE FROM ${table} WHERE ${where}`;
    return {
      sql: `${inPlace(sql)};`,
      statement: { query: `WITH changed AS (${sql} RETURNING 1) SELECT 1 / count(*) FROM changed`, params },
    };
  });
}
