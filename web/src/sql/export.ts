// A result as a file.
import type { Cell, Column } from "./rows";

interface Rows {
  length: number;
  at(index: number): Cell[];
}

const quoted = (cell: Cell) => (cell === null ? "" : /[",\n\r]/.test(cell) || cell === "" ? `"${cell.replaceAll('"', '""')}"` : cell);

// In parts, so that a large one is not a single string.
export function csv(columns: Pick<Column, "name">[], rows: Rows): string[] {
  const parts = [`${columns.map((column) => quoted(column.name)).join(",")}\r\n`];
  for (let i = 0; i < rows.length; i++) parts.push(`${rows.at(i).map(quoted).join(",")}\r\n`);
  return parts;
}

const kNumbers = new Set([21, 23, 26, 700, 701]);

function jsonValue(cell: Cell, type: number): string {
  if (cell === null) return "null";
  if (type === 16) return cell === "t" ? "true" : "false";
  if (kNumbers.has(type) && /^-?\d/.test(cell)) return cell;
  if (type === 114 || type === 3802) return cell;
  return JSON.stringify(cell); // Also bigint and numeric, which JavaScript would round.
}

export function json(columns: Pick<Column, "name" | "type">[], rows: Rows): string[] {
  const names = columns.map((column) => JSON.stringify(column.name));
  const parts = ["["];
  for (let i = 0; i < rows.length; i++) {
    const cells = rows.at(i);
    parts.push(`${i ? "," : ""}\n  {${cells.map((cell, k) => `${names[k]}: ${jsonValue(cell, columns[k].type)}`).join(", ")}}`);
  }
  parts.push("\n]\n");
  return parts;
}

export function download(name: string, type: string, parts: string[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
