// Queries with parameters over POST /sql: one, or several as one transaction.
import { SqlError } from "./connection";
import type { Cell } from "./rows";

export interface HttpTarget {
  host: string;
  database: string;
  role: string;
  password: string;
}

export interface Statement {
  query: string;
  params?: (string | null)[];
}

export interface Answer {
  fields: { name: string; dataTypeID: number; tableID: number; columnID: number }[];
  rows: Cell[][];
  command: string;
  rowCount: number | null;
}

function connectionString(to: HttpTarget): string {
  const part = encodeURIComponent;
  return `postgresql://${part(to.role)}:${part(to.password)}@${to.host}/${part(to.database)}?application_name=${part("Halogen console")}`;
}

async function post(to: HttpTarget, body: unknown, headers: Record<string, string>, signal?: AbortSignal): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch("/sql", {
      method: "POST",
      signal,
      headers: {
        "Neon-Connection-String": connectionString(to),
        "Neon-Raw-Text-Output": "true",
        "Neon-Array-Mode": "true",
        ...headers,
      },
      body: JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new SqlError("Halogen does not answer. Is it running?");
  }
  const text = await response.text();
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new SqlError(text || `the server answered with status ${response.status}`);
  }
  if (response.ok) return answer;
  const fields = typeof answer === "object" && answer !== null ? (answer as Record<string, string>) : {};
  throw new SqlError(fields.message ?? (typeof answer === "string" ? answer : `status ${response.status}`), fields);
}

export async function query(to: HttpTarget, sql: string, params: (string | null)[] = [], signal?: AbortSignal): Promise<Answer> {
  return (await post(to, { query: sql, params }, {}, signal)) as Answer;
}

export async function transaction(to: HttpTarget, queries: Statement[], readOnly = false): Promise<Answer[]> {
  const headers: Record<string, string> = readOnly ? { "Neon-Batch-Read-Only": "true" } : {};
  const body = { queries: queries.map((one) => ({ query: one.query, params: one.params ?? [] })) };
  return ((await post(to, body, headers)) as { results: Answer[] }).results;
}

export function objects(answer: Answer): Record<string, Cell>[] {
  return answer.rows.map((row) => Object.fromEntries(answer.fields.map((field, i) => [field.name, row[i]])));
}
