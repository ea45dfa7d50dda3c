// Branches, computes, roles, databases, settings: made, changed and deleted; and back to a moment, with a look before.
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
// What the server refuses here on purpose, the browser logs as errors.
const page = await open(browser, { allow: (text) => /status of (40[09]|422)/.test(text) });
const dialog = page.getByRole("dialog");
const row = (name) => page.locator(`[data-branch="${name}"]`);
const choose = async (branch, action) => {
  await page.getByRole("button", { name: `Actions on ${branch}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
};
// Again where the key went to a menu that was still closing.
const dismiss = async () => {
  for (let tries = 0; tries < 10 && (await dialog.count()) > 0; tries++) {
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached", timeout: 2000 }).catch(() => {});
  }
  assert.equal(await dialog.count(), 0, "the dialog stays");
};
const toast = (text) => page.locator("[data-sonner-toast]").filter({ hasText: text }).first().waitFor();
await signIn(page);
await steps({
  "the compute is woken and suspended": async () => {
    await page.goto(projectPage());
    await page.getByRole("button", { name: "Suspend" }).click();
    await dialog.getByRole("button", { name: "Suspend" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.locator('main [data-state="idle"]').waitFor();
    await page.getByText("Asleep").waitFor();
    await page.getByRole("button", { name: "Wake" }).click();
    await page.locator('main [data-state="active"]').waitFor();
  },
  "a branch of now is made": async () => {
    await page.goto(projectPage("branches"));
    await page.getByRole("button", { name: "New branch" }).click();
    await dialog.getByLabel("Name").fill("feature");
    await dialog.getByRole("button", { name: "Create branch" }).click();
    await row("feature").waitFor();
    await dialog.waitFor({ state: "detached" });
  },
  "a name that is taken is refused by the server's words": async () => {
    await page.getByRole("button", { name: "New branch" }).click();
    await dialog.getByLabel("Name").fill("feature");
    await dialog.getByRole("button", { name: "Create branch" }).click();
    await dialog.getByRole("alert").getByText("already exists").waitFor();
    await page.keyboard.press("Escape");
  },
  "one of a time and one of an LSN": async () => {
    for (const [name, kind, label, value] of [
      ["of-a-time", "time", "Time", process.env.TIME_BEFORE],
      ["of-an-lsn", "lsn", "LSN", process.env.LSN_BEFORE],
    ]) {
      await page.getByRole("button", { name: "New branch" }).click();
      await dialog.getByLabel("Name").fill(name);
      await dialog.getByLabel("With its data").selectOption(kind);
      await dialog.getByLabel(label, { exact: true }).fill(value);
      await dialog.getByRole("button", { name: "Create branch" }).click();
      await row(name).waitFor();
      await dialog.waitFor({ state: "detached" });
    }
  },
  "it is renamed, becomes the default and stops to be it": async () => {
    await choose("of-a-time", "Rename");
    await dialog.getByLabel("Name").fill("past");
    await dialog.getByRole("button", { name: "Rename" }).click();
    await row("past").waitFor();
    await choose("past", "Set as default");
    await row("past").getByText("default").waitFor();
    await choose("main", "Set as default");
    await row("main").getByText("default").waitFor();
    await page.shot("branches-tree");
    await page.axe("branches");
  },
  "it is protected, which keeps it from being deleted": async () => {
    await choose("past", "Protect");
    await row("past").getByLabel("Protected").waitFor();
    await choose("past", "Delete");
    await dialog.getByLabel(/Type/).fill("past");
    await dialog.getByRole("button", { name: "Delete branch" }).click();
    await dialog.getByRole("alert").getByText("protected").waitFor();
    await page.keyboard.press("Escape");
    await choose("past", "Unprotect");
    await row("past").getByLabel("Protected").waitFor({ state: "detached" });
  },
  "it gets a time to expire at, and is kept after all": async () => {
    await choose("past", "Expiration");
    await dialog.getByRole("button", { name: "Save" }).click();
    await row("past").getByText("7 d").waitFor();
    await choose("past", "Expiration");
    await dialog.getByRole("button", { name: "Keep for ever" }).click();
    await row("past").getByText("7 d").waitFor({ state: "detached" });
  },
  "it is reset from its parent": async () => {
    await choose("past", "Reset from parent");
    await dialog.getByRole("button", { name: "Reset" }).click();
    await toast("past is as main is now");
  },
  "it is deleted by its name": async () => {
    for (const name of ["past", "of-an-lsn"]) {
      await choose(name, "Delete");
      await dialog.getByLabel(/Type/).fill(name);
      await dialog.getByRole("button", { name: "Delete branch" }).click();
      await row(name).waitFor({ state: "detached" });
    }
  },
  "a moment is looked at, compared and restored": async () => {
    await page.goto(projectPage("restore"));
    await page.getByLabel("or LSN").fill(process.env.LSN_BEFORE);
    await page.getByLabel("Query").fill("SELECT count(*) AS rows_then FROM ledger");
    await page.getByRole("button", { name: "Run at that moment" }).click();
    await page.getByRole("gridcell", { name: "3", exact: true }).waitFor();
    await page.getByRole("button", { name: "Compare the schema with now" }).click();
    await page.getByText("later", { exact: false }).first().waitFor();
    await page.shot("restore-look");
    await page.axe("restore");
    await page.getByLabel("Keep the present state as").fill("kept");
    await page.getByRole("button", { name: "Restore main" }).click();
    await dialog.getByRole("button", { name: "Restore" }).click();
    await toast("is kept as kept");
    await page.goto(projectPage("branches"));
    await row("kept").waitFor();
  },
  "what was kept gets a compute, if it has none": async () => {
    await row("kept").getByRole("link").click();
    const add = page.getByRole("button", { name: "Add a compute" });
    const card = page.getByRole("heading", { name: "Compute of kept" });
    await add.or(card).first().waitFor();
    if (await add.isVisible()) await add.click();
    await card.waitFor();
  },
  "two branches are compared": async () => {
    await page.goto(projectPage("compare"));
    await page.getByLabel("Left: branch").selectOption("kept");
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.locator("pre.text-bad").filter({ hasText: "CREATE TABLE public.later" }).waitFor();
    await page.shot("compare-two");
  },
  "a role and a database are made, its password shown, and they are deleted": async () => {
    await page.goto(projectPage("roles"));
    await page.getByRole("button", { name: "New role" }).click();
    await dialog.getByLabel("Name").fill("reporter");
    await dialog.getByRole("button", { name: "Create role" }).click();
    const first = await dialog.getByText("npg_").innerText();
    await dismiss();
    await choose("reporter", "Reset password");
    await dialog.getByRole("button", { name: "Reset password" }).click();
    const second = await dialog.getByText("npg_").innerText();
    assert.notEqual(second, first);
    await dismiss();
    await choose("reporter", "Show password");
    assert.equal(await dialog.getByText("npg_").innerText(), second);
    await dismiss();
    await page.getByRole("button", { name: "New database" }).click();
    await dialog.getByLabel("Name").fill("reports");
    await dialog.getByLabel("Owner").selectOption("reporter");
    await dialog.getByRole("button", { name: "Create database" }).click();
    await page.getByRole("listitem").filter({ hasText: "owned by reporter" }).waitFor();
    for (const [name, button] of [["reports", "Delete database"], ["reporter", "Delete role"]]) {
      await choose(name, "Delete");
      await dialog.getByLabel(/Type/).fill(name);
      await dialog.getByRole("button", { name: button }).click();
      await dialog.waitFor({ state: "detached" });
    }
  },
  "an extension is installed": async () => {
    await page.getByLabel("Filter extensions").fill("hstore");
    await page.getByRole("listitem").filter({ hasText: "hstore" }).getByRole("button", { name: "Install" }).first().click();
    await page.getByRole("listitem").filter({ hasText: "installed" }).filter({ hasText: "hstore" }).first().waitFor();
  },
  "addresses are allowed, and nonsense refused": async () => {
    await page.goto(projectPage("settings"));
    const form = page.locator("form").filter({ has: page.getByLabel("Addresses and networks") });
    await form.getByLabel("Addresses and networks").fill("127.0.0.0/8\n::1\nnonsense");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").getByText("is not an address").waitFor();
    await form.getByLabel("Addresses and networks").fill("127.0.0.0/8\n::1");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByText("2 allowed").waitFor();
  },
  "the project gets another name and window": async () => {
    const form = page.locator("form").filter({ has: page.getByLabel("History window") });
    await form.getByLabel("Name").fill("renamed");
    await form.getByLabel("History window").selectOption({ label: "1 day" });
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "Choose a project" }).getByText("renamed").waitFor();
    await page.reload();
    assert.equal(await form.getByLabel("History window").inputValue(), "86400");
  },
  "a library is preloaded, and a quota set": async () => {
    const card = (name) => page.locator("section").filter({ has: page.getByRole("heading", { name }) });
    const library = page.getByRole("switch", { name: "auto_explain" });
    const written = page.getByLabel(/^Written, GB/);
    await library.click();
    await written.fill("nonsense");
    await page.getByText("A number, or empty").waitFor();
    const told = page.waitForResponse((answer) => answer.request().method() === "GET" && answer.url().endsWith(`/projects/${process.env.PROJECT}`));
    await card("Libraries to preload").getByRole("button", { name: "Save" }).click();
    await page.getByText("Computes have them from their next start on.").waitFor();
    await told;
    assert.equal(await written.inputValue(), "nonsense"); // One form's answer leaves the others alone.
    await written.fill("10");
    await card("Usage and quotas").getByRole("button", { name: "Save" }).click();
    await page.getByText("of 10 GB this month").waitFor();
    await page.shot("quotas");
    await page.reload();
    await page.getByText("of 10 GB this month").waitFor();
    assert.equal(await written.inputValue(), "10");
    assert.equal(await library.getAttribute("aria-checked"), "true");
  },
  "settings of Postgres are kept, and those that are not allowed refused": async () => {
    const form = page.locator("form").filter({ has: page.getByLabel("PostgreSQL settings") });
    await form.getByLabel("Suspend after").selectOption({ label: "1 hour" });
    await form.getByLabel("PostgreSQL settings").fill("archive_command = rm");
    await form.getByRole("button", { name: "Save" }).click();
    await form.getByRole("alert").getByText("archive_command").waitFor();
    await form.getByLabel("PostgreSQL settings").fill("work_mem = 8MB");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByText("PostgreSQL settings count from").waitFor();
    await page.reload();
    assert.equal(await form.getByLabel("PostgreSQL settings").inputValue(), "work_mem = 8MB");
    assert.equal(await form.getByLabel("Suspend after").inputValue(), "3600");
  },
  "what was done is listed": async () => {
    await page.goto(projectPage("operations"));
    await page.getByText("Branch created").first().waitFor();
    await page.getByLabel("Which").selectOption("Computes");
    await page.getByText("Branch created").first().waitFor({ state: "detached" });
    await page.getByText("Compute woken").first().waitFor();
    await page.shot("operations");
  },
  "everything is found by typing": async () => {
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("A project, branch, table").fill("kept");
    await page.getByRole("option", { name: /kept/ }).first().waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Compute of kept" }).waitFor();
  },
  "so are tables, once the compute is awake or may be woken": async () => {
    await page.keyboard.press("Control+k");
    const find = page.getByPlaceholder("A project, branch, table");
    const wake = page.getByRole("option", { name: "Look for tables" });
    await page.getByRole("option", { name: "ledger" }).or(wake).first().waitFor();
    await page.shot("palette");
    await page.axe("palette");
    if (await wake.isVisible()) await wake.click();
    await find.fill("ledger");
    await page.getByRole("option", { name: "ledger" }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("gridcell", { name: "4", exact: true }).waitFor();
  },
  "and what can be made": async () => {
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("A project, branch, table").fill("take snapshot");
    await page.keyboard.press("Enter");
    await dialog.getByRole("heading", { name: "Take a snapshot" }).waitFor();
    await page.keyboard.press("Escape");
    assert.doesNotMatch(page.url(), /create/);
  },
});
page.check();
await browser.close();
