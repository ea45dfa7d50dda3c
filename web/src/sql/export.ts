// A result as a file.
import type { Cell, Column } from "./rows";

interface Rows {
  length: number;
  at(index: number): Cell[];
}

// How long the page may stand still before it gets a turn: of a million rows, many times.
const kTurn = 12;

const quoted = (cell: Cell) => (cell === null ? "" : /[",\n\r]/.test(cell) || cell === "" ? `"${cell.replaceAll('"', '""')}"` : cell);

// In parts, so that a large one is not a single string.
async function lines(rows: Rows, line: (cells: Cell[], index: number) => string): Promise<string[]> {
  const parts: string[] = [];
  let slice = "";
  let began = performance.now();
  for (let i = 0; i < rows.length; i++) {
    slice += line(rows.at(i), i);
    if (i % 256 !== 255) continue;
    parts.push(slice);
    slice = "";
    if (performance.now() - began < kTurn) continue;
    await new Promise((resolve) => setTimeout(resolve));
    began = performance.now();
  }
  return [...parts, slice];
}

export async function csv(columns: Pick<Column, "name">[], rows: Rows): Promise<string[]> {
  const head = `${columns.map((column) => quoted(column.name)).join(",")}\r\n`;
  return [head, ...(await lines(rows, (cells) => `${cells.map(quoted).join(",")}\r\n`))];
}

const kNumbers = new Set([21, 23, 26, 700, 701]);

function jsonValue(cell: Cell, type: number): string {
  if (cell === null) return "null";
  if (type === 16) return cell === "t" ? "true" : "false";
  if (kNumbers.has(type) && /^-?\d/.test(cell)) return cell;
  if (type === 114 || type === 3802) return cell;
  return JSON.stringify(cell); // Also bigint and numeric, which JavaScript would round.
}

export async function json(columns: Pick<Column, "name" | "type">[], rows: Rows): Promise<string[]> {
  const names = columns.map((column) => JSON.stringify(column.name));
  const line = (cells: Cell[], index: number) =>
    `${index ? "," : ""}\n  {${cells.map((cell, k) => `${names[k]}: ${jsonValue(cell, columns[k].type)}`).join(", ")}}`;
  return ["[", ...(await lines(rows, line)), "\n]\n"];
}

export function download(name: string, type: string, parts: string[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
