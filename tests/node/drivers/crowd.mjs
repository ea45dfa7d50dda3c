// What a crowd of clients does, as tests/drivers/crowd.py: money moves between accounts, each client writes its own rows.
import assert from "node:assert/strict";

export const CLIENTS = Number(process.env.CLIENTS ?? 40);
export const ROUNDS = Number(process.env.ROUNDS ?? 15);
const ACCOUNTS = 200;

export function transfer(client, round) {
  const a = (client * 7 + round * 13) % ACCOUNTS;
  let b = (client * 11 + round * 17 + 1) % ACCOUNTS;
  if (a === b) b = (b + 1) % ACCOUNTS;
  return [Math.min(a, b), Math.max(a, b), round + 1];
}

// work(client) of all clients at once. The first error ends the program, which the test sees.
export async function crowd(work) {
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => work(client)));
}

export const url = process.env.DATABASE_URL;
export const same = assert.deepStrictEqual;
export { assert };
