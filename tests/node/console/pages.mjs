// Every page in both themes and on a phone: drawn, without an error, with nothing serious for axe, and no wider than the screen.
import { assert, desk, home, launch, open, phone, projectPage, signIn } from "./browser.mjs";

const places = ["", "branches", "restore", "compare", "sql", "tables", "monitoring", "roles", "operations", "settings"];
const browser = await launch();

async function look(theme, size, rules) {
  const page = await open(browser, { theme, size });
  await signIn(page);
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
    await page.shot(place || "dashboard");
    if (rules) await page.axe(place || "dashboard", rules);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${place} is ${wide} px wider than the screen (${theme})`);
  }
  page.check();
  await page.context().close();
}

// Of a theme only the colours are its own.
await Promise.all([look("light", desk, "all"), look("dark", desk, "color-contrast"), look("dark", phone), look("light", phone)]);
await browser.close();
