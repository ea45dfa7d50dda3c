// A project is deleted by its name, and brought back.
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
// The project is asked for once more while it is being deleted.
const page = await open(browser, { allow: (text) => text.includes("status of 404") && text.includes("/overview") });
const dialog = page.getByRole("dialog");
const remove = async () => {
  await page.goto(projectPage("settings"));
  await page.getByRole("button", { name: "Delete project" }).click();
  assert(await dialog.getByRole("button", { name: "Delete project" }).isDisabled());
  await dialog.getByLabel(/Type/).fill("newcomer");
  await dialog.getByRole("button", { name: "Delete project" }).click();
  await page.getByRole("heading", { name: "Projects", exact: true }).waitFor();
};
await signIn(page);
await steps({
  "it is deleted, which needs its name": remove,
  "it is brought back": async () => {
    await page.getByRole("button", { name: "Recover newcomer" }).click();
    await page.getByRole("link", { name: "newcomer" }).click();
    await page.getByRole("heading", { name: "newcomer" }).waitFor();
  },
  "it is deleted again": remove,
});
page.check();
await browser.close();
