// Every page in both themes and on a phone: drawn, without an error, with nothing serious for axe, and no wider than the screen.
import { assert, desk, home, launch, open, phone, projectPage, signIn } from "./browser.mjs";

const places = ["", "branches", "restore", "sql", "tables", "monitoring", "roles", "operations", "settings"];
const browser = await launch();
for (const [theme, size] of [["light", desk], ["dark", desk], ["dark", phone]]) {
  const page = await open(browser, { theme, size, allow: (text) => text.includes("/api/v2/api_keys") });
  await signIn(page);
  await page.shot("projects");
  await page.axe("projects");
  for (const place of [...places, "account"]) {
    await page.goto(place === "account" ? `${home}/account` : projectPage(place));
    await page.loaded();
    await page.shot(place || "dashboard");
    // The rules are the same at each width; colours are not the same in each theme.
    if (size === desk) await page.axe(place || "dashboard");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${place} is ${wide} px wider than the screen (${theme})`);
  }
  page.check();
  await page.context().close();
}
await browser.close();
