// What the editor remembers in this browser: the text, what was run, what was saved.
import { useSyncExternalStore } from "react";

export interface Run {
  sql: string;
  at: number;
  database: string;
  branch: string;
  milliseconds: number;
  error?: string;
}

export interface Saved {
  id: string;
  name: string;
  sql: string;
}

const kMostRuns = 200;
const listeners = new Set<() => void>();
const cache = new Map<string, unknown>();

function read<T>(key: string, otherwise: T): T {
  if (!cache.has(key)) {
    let value: unknown = otherwise;
    try {
      value = JSON.parse(localStorage.getItem(key) ?? "null") ?? otherwise;
    } catch {
      value = otherwise;
    }
    cache.set(key, value);
  }
  return cache.get(key) as T;
}

function write(key: string, value: unknown) {
  cache.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // No room in the browser's storage: it lasts until the page is left.
  }
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const none: never[] = [];

export function useNotebook(project: string) {
  const runsKey = `halogen.sql.runs.${project}`;
  const savedKey = `halogen.sql.saved.${project}`;
  const textKey = `halogen.sql.text.${project}`;
  const runs = useSyncExternalStore(subscribe, () => read<Run[]>(runsKey, none));
  const saved = useSyncExternalStore(subscribe, () => read<Saved[]>(savedKey, none));
  return {
    runs,
    saved,
    text: () => read<string>(textKey, ""),
    keepText: (text: string) => write(textKey, text),
    addRun: (run: Run) => write(runsKey, [run, ...read<Run[]>(runsKey, none).filter((one) => one.sql !== run.sql)].slice(0, kMostRuns)),
    clearRuns: () => write(runsKey, []),
    save: (name: string, sql: string) =>
      write(savedKey, [...read<Saved[]>(savedKey, none).filter((one) => one.name !== name), { id: crypto.randomUUID?.() ?? String(Math.random()), name, sql }]),
    forget: (id: string) => write(savedKey, read<Saved[]>(savedKey, none).filter((one) => one.id !== id)),
  };
}
