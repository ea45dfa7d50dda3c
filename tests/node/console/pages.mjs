// Every page in both themes and on a phone: drawn, without an error, with nothing serious for axe, and no wider than the screen.
import { assert, desk, home, launch, open, phone, projectPage, signIn } from "./browser.mjs";

const places = ["", "branches", "snapshots", "computes", "restore", "compare", "sql", "tables", "monitoring", "roles", "operations", "settings"];
const browser = await launch();

async function look(theme, size, rules) {
  const page = await open(browser, { theme, size });
  await signIn(page);
  await page.loaded();
  await page.shot("projects");
  if (rules) await page.axe("projects", rules);
  for (const place of [...places, "account"]) {
    const address = place === "account" ? `${home}/account` : projectPage(place);
    // As a link does it, without loading the application anew.
    await page.evaluate((to) => {
      history.pushState({}, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
    }, address);
    await page.loaded();
    if (place === "monitoring") await page.getByRole("figure", { name: "Cache hit" }).getByText(/^\d+ %$/).waitFor();
    await page.shot(place || "dashboard");
    if (rules) await page.axe(place || "dashboard", rules);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${place} is ${wide} px wider than the screen (${theme})`);
  }
  page.check();
  await page.context().close();
}

// From the address to the first thing that is drawn; the best of three, since other tests may run beside this one.
async function firstPaint() {
  const page = await open(browser);
  await signIn(page);
  const times = [];
  for (let i = 0; i < 3; ++i) {
    await page.goto(home);
    await page.getByRole("heading", { name: "Projects" }).waitFor();
    const paint = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
    times.push(await paint.jsonValue());
  }
  await page.context().close();
  return Math.min(...times);
}

const paint = await firstPaint();
console.log(`first paint after ${Math.round(paint)} ms`);
assert(paint < 1000, `the first paint took ${paint} ms`);

// Of a theme only the colours are its own.
await Promise.all([look("light", desk, "all"), look("dark", desk, "color-contrast"), look("dark", phone), look("light", phone)]);
await browser.close();
