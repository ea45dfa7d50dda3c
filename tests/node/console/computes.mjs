// Computes: woken and suspended, and read replicas with connection strings of their own. Prints the replica's string.
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser);
await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
const dialog = page.getByRole("dialog");
const card = (name) => page.locator("section").filter({ has: page.getByRole("heading", { name, exact: true, level: 3 }) }).last();
const replica = card("reports");
let string;
await signIn(page);
await page.goto(projectPage("computes"));
await steps({
  "the compute is suspended and woken": async () => {
    const primary = card("Primary");
    await primary.getByRole("button", { name: "Suspend" }).click();
    await dialog.getByRole("button", { name: "Suspend" }).click();
    await dialog.waitFor({ state: "detached" });
    await primary.locator('[data-state="idle"]').waitFor();
    await primary.getByText("Asleep").waitFor();
    await primary.getByRole("button", { name: "Wake" }).click();
    await primary.locator('[data-state="active"]').waitFor();
    await primary.getByText("Nothing is under way").waitFor();
  },
  "a read replica is made": async () => {
    await page.getByRole("heading", { name: "No read replicas" }).waitFor();
    await page.getByRole("button", { name: "New read replica" }).click();
    await dialog.getByLabel("Name").fill("reports");
    await page.axe("new replica");
    await dialog.getByRole("button", { name: "Create replica" }).click();
    await replica.waitFor();
  },
  "its string is in Connect": async () => {
    const endpoint = await replica.locator("[data-compute]").getAttribute("data-compute");
    await replica.getByRole("button", { name: "Connect" }).click();
    await dialog.getByLabel("Compute").waitFor();
    assert.equal(await dialog.getByLabel("Compute").inputValue(), endpoint);
    await dialog.getByRole("button", { name: "Copy connection string" }).click();
    await dialog.getByRole("button", { name: "Copied" }).waitFor();
    string = await page.evaluate(() => navigator.clipboard.readText());
    assert(string.includes(`@${endpoint}-pooler.`), string);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  },
  "it wakes, and is suspended": async () => {
    await replica.getByRole("button", { name: "Wake" }).click();
    await replica.locator('[data-state="active"]').waitFor();
    await replica.getByText("A restart brings it up to date").waitFor();
    await page.shot("computes");
    await page.axe("computes");
    await replica.getByRole("button", { name: "Suspend" }).click();
    await dialog.getByRole("button", { name: "Suspend" }).click();
    await replica.locator('[data-state="idle"]').waitFor();
  },
  "the dashboard lists both, the awake one first": async () => {
    await page.goto(projectPage());
    const rows = page.getByRole("list", { name: "Computes" }).getByRole("listitem");
    await rows.nth(1).waitFor();
    await rows.nth(1).getByText("reports").waitFor();
    await page.shot("dashboard-computes");
  },
  "its charts are its own": async () => {
    await page.goto(projectPage("monitoring"));
    await page.getByLabel("Compute", { exact: true }).selectOption({ label: "reports" });
    await page.getByText("Asleep").waitFor();
  },
});
console.log(string);
page.check();
await browser.close();
