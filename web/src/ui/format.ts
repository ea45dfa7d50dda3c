// Numbers and times as people read them.

export function bytes(count: number | undefined): string {
  if (count === undefined) return "–";
  if (count < 1024) return `${count} B`;
  const units = ["KB", "MB", "GB", "TB", "PB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

// 1 table, 2,000 tables.
export const plural = (value: number, noun: string) => `${count(value)} ${noun}${value === 1 ? "" : noun.endsWith("ch") ? "es" : "s"}`;

export function seconds(value: number): string {
  if (value < 60) return `${value} s`;
  const parts: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const out: string[] = [];
  let left = value;
  for (const [size, unit] of parts) {
    if (left >= size) {
      out.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
    if (out.length === 2) break;
  }
  return out.join(" ");
}

export function milliseconds(value: number): string {
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 1000) return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  return value < 60_000 ? `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s` : seconds(Math.round(value / 1000));
}

export function ago(time: string | number | Date, now = Date.now()): string {
  const age = (now - new Date(time).getTime()) / 1000;
  if (age < 5) return "just now";
  if (age < 60) return `${Math.floor(age)} s ago`;
  if (age < 3600) return `${Math.floor(age / 60)} min ago`;
  if (age < 86400) return `${Math.floor(age / 3600)} h ago`;
  if (age < 86400 * 30) return `${Math.floor(age / 86400)} d ago`;
  return new Date(time).toLocaleDateString("en-CA");
}

// How long it is until then.
export function until(time: string | number | Date, now = Date.now()): string {
  const left = Math.max(0, Math.round((new Date(time).getTime() - now) / 1000));
  return left >= 86400 ? `${Math.round(left / 86400)} d` : seconds(left);
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export function moment(time: string | number | Date): string {
  const date = new Date(time);
  return `${day.format(date)}, ${clock.format(date)}`;
}

export function suspendTimeout(value: number): string {
  if (value === -1) return "never suspends";
  return `suspends after ${seconds(value === 0 ? 300 : value)} idle`;
}

// For names of what is kept: 20260131_1504.
export function nameOfTime(time: Date): string {
  return time.toISOString().slice(0, 16).replace(/[-:]/g, "").replace("T", "_");
}

// As datetime-local has it, in the browser's zone.
export function localInput(time: Date): string {
  const shifted = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
