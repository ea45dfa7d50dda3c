// From the link that `up` prints to strings and snippets, with nothing to read before. Prints the snippets for the test to run.
import { assert, launch, open, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser);
await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
const snippets = {};
await steps({
  "the link signs in": async () => {
    await page.goto(process.env.CONSOLE_LINK);
    await page.getByRole("heading", { name: "Projects" }).waitFor();
  },
  "a project is made, and how to connect is shown at once": async () => {
    await page.getByRole("button", { name: "New project" }).first().click();
    await page.getByLabel("Name").fill("newcomer");
    await page.getByRole("button", { name: "Create project" }).click();
    await page.getByRole("dialog").getByRole("heading", { name: "Connect" }).waitFor();
    await page.getByRole("switch", { name: "Pooled connection" }).waitFor();
    assert.equal(await page.getByRole("switch", { name: "Pooled connection" }).getAttribute("aria-checked"), "true");
  },
  "each snippet is copied whole, with the password hidden on the page": async () => {
    await page.getByRole("tab", { name: "psql" }).waitFor();
    for (const tab of await page.getByRole("tab").all()) {
      const name = await tab.textContent();
      await tab.click();
      await page.getByRole("tabpanel", { name }).waitFor();
      await page.getByRole("button", { name: "Copy snippet" }).click();
      await page.getByRole("button", { name: "Copied" }).waitFor();
      snippets[name] = await page.evaluate(() => navigator.clipboard.readText());
      assert.doesNotMatch(await page.getByRole("tabpanel").innerText(), /npg_/);
    }
    await page.getByRole("tab", { name: "Prisma" }).click();
    await page.getByRole("button", { name: "Copy schema.prisma" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    snippets["schema.prisma"] = await page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole("tab", { name: "psql" }).click();
    await page.getByRole("button", { name: "Show password" }).click();
    assert.match(await page.getByRole("tabpanel").innerText(), /npg_/);
    await page.shot("connect");
    await page.axe("connect");
  },
  "the direct string is one switch away": async () => {
    assert.match(snippets.psql, /-pooler\./);
    await page.getByRole("switch", { name: "Pooled connection" }).click();
    await page.getByRole("tabpanel").getByText(/@ep-[a-z0-9-]+(?<!-pooler)\.us-east-1/).waitFor();
  },
});
page.check();
await browser.close();
console.log(JSON.stringify(snippets));
