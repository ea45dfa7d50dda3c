// From the link that `up` prints to strings and snippets, with nothing to read before. Prints the snippets for the test to run.
import { assert, launch, open, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser);
await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
const snippets = {};

// What a button leaves in the clipboard. That it says "Copied" is over too soon for a busy machine to be sure to see it.
async function copied(button) {
  const read = () => page.evaluate(() => navigator.clipboard.readText());
  await page.evaluate(() => navigator.clipboard.writeText(" "));
  await page.getByRole("button", { name: button }).click();
  const until = Date.now() + 20_000;
  while ((await read()) === " ") assert.ok(Date.now() < until, `"${button}" copies nothing`);
  return read();
}

await steps({
  "the link signs in": async () => {
    await page.goto(process.env.CONSOLE_LINK);
    await page.getByRole("heading", { name: "Projects" }).waitFor();
  },
  "a project is made, and how to connect is shown at once": async () => {
    await page.getByRole("button", { name: "New project" }).first().click();
    await page.getByRole("dialog").getByLabel("Name").fill("newcomer");
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
      snippets[name] = await copied("Copy snippet");
      assert.doesNotMatch(await page.getByRole("tabpanel").innerText(), /npg_/);
    }
    await page.getByRole("tab", { name: "Prisma" }).click();
    snippets["schema.prisma"] = await copied("Copy schema.prisma");
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
