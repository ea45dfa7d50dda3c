// What one does on the way with a phone, in the dark: looks after a compute, makes a branch, copies a string, queries, edits nothing.
import { assert, launch, open, phone, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser, { theme: "dark", size: phone });
const dialog = page.getByRole("dialog");
const go = async (place) => {
  await page.getByRole("button", { name: "Menu" }).click();
  await dialog.getByRole("link", { name: place }).click();
  await page.getByRole("heading", { level: 1, name: place }).waitFor({ state: "attached" });
};
const fits = async () => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
await signIn(page);
await page.goto(projectPage());
await steps({
  "the menu leads to branches, and one is made": async () => {
    await go("Branches");
    await page.getByRole("button", { name: "New branch" }).click();
    await dialog.getByLabel("Name").fill("on-the-way");
    await page.shot("new-branch");
    await page.axe("new branch on a phone");
    await dialog.getByRole("button", { name: "Create branch" }).click();
    await page.locator('[data-branch="on-the-way"]').waitFor();
    await fits();
  },
  "the menu": async () => {
    await page.getByRole("button", { name: "Menu" }).click();
    await dialog.getByRole("link", { name: "Tables" }).waitFor();
    await page.shot("menu");
    await page.axe("menu on a phone");
    await page.keyboard.press("Escape");
  },
  "a string is copied from": async () => {
    await page.getByRole("button", { name: "Connect" }).first().click();
    await dialog.getByRole("tab", { name: "psql" }).waitFor();
    await page.shot("connect");
    await page.axe("connect on a phone");
    await page.keyboard.press("Escape");
  },
  "a query is run": async () => {
    await go("SQL Editor");
    await page.locator(".cm-content").click();
    await page.keyboard.insertText("SELECT id, item FROM orders ORDER BY id");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByRole("gridcell", { name: "lamp" }).waitFor();
    await page.shot("sql-result");
    await fits();
  },
  "a table is looked at, and one finds back": async () => {
    await go("Tables");
    await page.getByRole("button", { name: "orders" }).click();
    await page.getByRole("gridcell", { name: "lamp" }).waitFor();
    await page.shot("table");
    await page.axe("a table on a phone");
    await fits();
    await page.getByRole("button", { name: "All tables" }).click();
    await page.getByRole("button", { name: "orders" }).waitFor();
  },
  "a snapshot is taken": async () => {
    await go("Snapshots");
    await page.getByRole("button", { name: "Take snapshot" }).click();
    await dialog.getByLabel("Name").fill("pocket");
    await dialog.getByRole("button", { name: "Take snapshot" }).click();
    await page.locator('[data-snapshot="pocket"]').waitFor();
    await page.shot("snapshots-one");
    await fits();
  },
});
page.check();
await browser.close();
