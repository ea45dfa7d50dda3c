// Sessions with their queries, cancelled and ended; statements; charts of samples.
import { launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser);
const dialog = page.getByRole("dialog");
const session = page.getByRole("row").filter({ hasText: "busy bee" });
const choose = async (action) => {
  await session.getByRole("button", { name: /Actions on the session/ }).click();
  await page.getByRole("menuitem", { name: action }).click();
};
await signIn(page);
await page.goto(projectPage("monitoring"));
await steps({
  "a session and what it does is listed": async () => {
    await session.getByText("pg_sleep").waitFor();
    await page.getByText("Kept awake by").waitFor();
    await page.getByRole("figure", { name: "Queries" }).waitFor();
    await page.shot("monitoring");
    await page.axe("monitoring");
  },
  "its query is cancelled, and the session goes on": async () => {
    await choose("Cancel its query");
    await page.getByText("Its query is cancelled.").waitFor();
    console.log("cancelled");
    await session.getByText("pg_sleep(61)").waitFor();
  },
  "its connection is ended": async () => {
    await choose("End its connection");
    await dialog.getByRole("button", { name: "End connection" }).click();
    await session.waitFor({ state: "detached" });
  },
  "pg_stat_statements is switched on, and shows what took how long": async () => {
    await page.getByRole("button", { name: "Switch it on" }).click();
    await dialog.getByRole("button", { name: "Restart and switch on" }).click();
    await dialog.waitFor({ state: "detached", timeout: 30_000 });
    await page.getByRole("region", { name: "Statements" }).getByText("pg_stat_statements").first().waitFor();
    await page.getByRole("region", { name: "Statements" }).scrollIntoViewIfNeeded();
    await page.shot("statements");
    await page.axe("statements");
  },
});
page.check();
await browser.close();
