// A browser on the console, and what holds of every page: nothing is asked of another machine, nothing is logged as an error,
// no script breaks the content security policy, and axe finds nothing serious.
import { AxeBuilder } from "@axe-core/playwright";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const home = process.env.CONSOLE_URL;
const shots = process.env.CONSOLE_SHOTS;
export const phone = { width: 390, height: 844 };
export const desk = { width: 1360, height: 860 };

let last; // The page that was opened last.

export const options = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
};

// The run's (serve.mjs), or one of its own.
export async function launch() {
  return process.env.CONSOLE_BROWSER ? chromium.connect(process.env.CONSOLE_BROWSER) : chromium.launch(options);
}

// `allow(text)`: which of the browser's errors a test causes on purpose.
export async function open(browser, { theme = "light", size = desk, allow = () => false } = {}) {
  const context = await browser.newContext({ colorScheme: theme, viewport: size, acceptDownloads: true, reducedMotion: "reduce" });
  const page = (last = await context.newPage());
  const bad = [];
  page.on("console", (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (["error", "warning"].includes(message.type()) && !allow(text)) bad.push(`${message.type()}: ${text}`);
  });
  page.on("pageerror", (error) => bad.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.host !== new URL(home).host) bad.push(`asks ${url.host}`);
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== new URL(home).host) bad.push(`a WebSocket to ${socket.url()}`);
  });
  page.setDefaultTimeout(20_000);
  page.check = () => assert.deepEqual(bad, []);
  // What the page shows first has been loaded.
  page.loaded = async () => {
    await page.getByRole("heading", { level: 1 }).first().waitFor({ state: "attached" });
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("[data-loading]"));
  };
  page.shot = async (name) => {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: `${shots}/${name}-${theme}${size === phone ? "-phone" : ""}.png` });
  };
  page.axe = async (what, rules = "all") => {
    // Legacy: without a page of its own for what it found in other frames. There are none.
    const axe = new AxeBuilder({ page }).setLegacyMode();
    const { violations } = await (rules === "all" ? axe : axe.withRules(rules)).analyze();
    const serious = violations.filter((one) => ["serious", "critical"].includes(one.impact));
    assert.deepEqual(serious.map((one) => `${what}: ${one.id}: ${one.nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`).join("; ")}`), []);
  };
  return page;
}

// As the form does it; sign_in.mjs tries the form.
export async function signIn(page) {
  const answer = await page.request.post(`${home}/api/v2/console/session`, {
    headers: { "X-Halogen-Console": "1" },
    data: { password: process.env.CONSOLE_PASSWORD },
  });
  assert.equal(answer.status(), 201);
  await page.goto(home);
  await page.getByRole("heading", { name: "Projects" }).waitFor();
}

export const projectPage = (place = "") => `${home}/projects/${process.env.PROJECT}${place ? `/${place}` : ""}`;

// One thing after another, each with its name where it fails.
export async function steps(list) {
  for (const [name, step] of Object.entries(list)) {
    const began = Date.now();
    try {
      await step();
      if (process.env.CONSOLE_TIMES) console.error(`${Date.now() - began} ms: ${name}`);
    } catch (error) {
      error.message = `${name}: ${error.message}`;
      await last?.shot("failed").catch(() => {});
      throw error;
    }
  }
}

export { assert, home };
