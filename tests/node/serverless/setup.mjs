// The driver, unchanged, pointed at our port: what docs/serverless.md tells users to write.
import { neonConfig } from "@neondatabase/serverless";
import assert from "node:assert/strict";
import ws from "ws";

export const url = process.env.DATABASE_URL;
const port = process.env.SQL_PORT;

neonConfig.fetchEndpoint = (host) => `https://${host.replace(/^[^.]+/, "api")}:${port}/sql`;
neonConfig.wsProxy = (host) => `${host}:${port}/v2`;
neonConfig.webSocketConstructor = ws;

// As it was called without arguments of its own.
export const endpoint = neonConfig.fetchEndpoint(new URL(url).hostname);

export async function post(body, headers = {}, more = {}) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { "Neon-Connection-String": url, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...more,
  });
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { json = undefined; }
  return { status: response.status, headers: response.headers, text, json };
}

export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it succeeded");
}

export { assert };
