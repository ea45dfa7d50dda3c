// A read replica is deleted.
import { launch, open, projectPage, signIn } from "./browser.mjs";

const browser = await launch();
// Its state is asked for once more while it is being deleted.
const page = await open(browser, { allow: (text) => text.includes("status of 404") && text.includes("/pooler") });
await signIn(page);
await page.goto(projectPage("computes"));
const replica = page.locator("section").filter({ has: page.getByRole("heading", { name: "reports", exact: true, level: 3 }) }).last();
await replica.getByRole("button", { name: "More about the compute" }).click();
await page.getByRole("menuitem", { name: "Delete" }).click();
await page.getByRole("dialog").getByRole("button", { name: "Delete replica" }).click();
await page.getByRole("heading", { name: "No read replicas" }).waitFor();
page.check();
await browser.close();
