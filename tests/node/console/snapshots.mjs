// Snapshots: taken, named, restored as a branch and in a branch's place, deleted; and when they are taken by themselves.
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser, { theme: "dark", allow: (text) => /status of (409|422)/.test(text) });
const dialog = page.getByRole("dialog");
const row = (name) => page.locator(`[data-snapshot="${name}"]`);
const choose = async (name, action) => {
  await page.getByRole("button", { name: `Actions on ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
};
const take = async (name, how = async () => {}) => {
  await page.getByRole("button", { name: "Take snapshot" }).click();
  await dialog.getByLabel("Name").fill(name);
  await how();
  await dialog.getByRole("button", { name: "Take snapshot" }).click();
  await row(name).waitFor();
  await dialog.waitFor({ state: "detached" });
};
await signIn(page);
await page.goto(projectPage("snapshots"));
await steps({
  "there are none, and the page says what they are for": async () => {
    await page.getByRole("heading", { name: "No snapshots yet" }).waitFor();
    await page.shot("snapshots-none");
  },
  "one of now, which is kept for a week": () =>
    take("of now", async () => {
      await dialog.getByLabel("Kept").selectOption({ label: "for a week" });
      await page.shot("snapshot-take");
      await page.axe("take a snapshot");
    }),
  "one of the past": async () => {
    await take("of then", async () => {
      await dialog.getByLabel("With its data").selectOption("lsn");
      await dialog.getByLabel("LSN").fill(process.env.LSN_BEFORE);
    });
    assert.match(await row("of now").innerText(), /for 7 d/);
    assert.match(await row("of then").innerText(), /until deleted/);
  },
  "it is renamed": async () => {
    await choose("of now", "Rename");
    await dialog.getByLabel("Name").fill("of today");
    await dialog.getByRole("button", { name: "Rename" }).click();
    await row("of today").waitFor();
    await dialog.waitFor({ state: "detached" });
    await page.axe("snapshots");
  },
  "a schedule is saved, and stays": async () => {
    await page.getByRole("button", { name: "Add a time" }).click();
    await page.getByLabel("How often").selectOption("weekly");
    await page.getByLabel("Day", { exact: true }).selectOption({ label: "on Sunday" });
    await page.getByLabel("Hour").selectOption({ label: "at 04:00" });
    await page.getByRole("button", { name: "Add a time" }).click();
    await page.getByLabel("How often").nth(1).selectOption("hourly");
    await page.getByLabel("How long they stay").nth(1).selectOption({ label: "keep for a day" });
    await page.getByRole("button", { name: "Save schedule" }).click();
    await page.getByText("It counts from now on.").waitFor();
    await page.shot("snapshots-list");
    await page.reload();
    await page.getByLabel("How often").nth(1).waitFor();
    assert.equal(await page.getByLabel("Day", { exact: true }).inputValue(), "7");
    await page.getByRole("button", { name: "Remove line 2" }).click();
    await page.getByRole("button", { name: "Save schedule" }).click();
    await page.getByText("It counts from now on.").waitFor();
  },
  "it is restored as a branch, with a compute": async () => {
    await row("of then").getByRole("button", { name: "Restore" }).click();
    await dialog.getByLabel("Name of the branch").fill("then");
    await page.shot("snapshot-restore");
    await page.axe("restore a snapshot");
    await dialog.getByRole("button", { name: "Create branch" }).click();
    await page.getByRole("heading", { name: "Compute of then" }).waitFor();
  },
  "a protected branch keeps its place, and nothing is left of the attempt": async () => {
    const protect = async (on) => {
      await page.goto(projectPage("branches"));
      await page.getByRole("button", { name: "Actions on main", exact: true }).click();
      await page.getByRole("menuitem", { name: on ? "Protect" : "Unprotect" }).click();
      await page.locator('[data-branch="main"]').getByLabel("Protected").waitFor({ state: on ? "visible" : "detached" });
    };
    await protect(true);
    await page.goto(projectPage("snapshots"));
    await choose("of then", "Restore");
    await dialog.getByRole("radio", { name: "In a branch's place" }).click();
    await dialog.getByRole("button", { name: "Replace main" }).click();
    await dialog.getByRole("alert").getByText("protected").waitFor();
    await page.keyboard.press("Escape");
    await protect(false);
    await page.locator('[data-branch="then"]').waitFor();
    assert.equal(await page.locator("[data-branch]").count(), 2);
  },
  "it is restored in its branch's place, and what was there is kept": async () => {
    await page.goto(projectPage("snapshots"));
    await choose("of then", "Restore");
    await dialog.getByRole("radio", { name: "In a branch's place" }).click();
    await dialog.getByLabel("Keep what is there as").fill("before");
    await dialog.getByRole("button", { name: "Replace main" }).click();
    await page.getByText("is kept as before").waitFor();
    await page.getByRole("heading", { name: "Compute of main" }).waitFor();
  },
  "it is deleted by its name": async () => {
    await page.goto(projectPage("snapshots"));
    await choose("of today", "Delete");
    await dialog.getByLabel(/Type/).fill("of today");
    await dialog.getByRole("button", { name: "Delete snapshot" }).click();
    await row("of today").waitFor({ state: "detached" });
  },
});
page.check();
await browser.close();
