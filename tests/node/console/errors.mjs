// What a page says when something is wrong, and that it finds back.
import { assert, home, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
// Failures are what is tried here; the browser logs each.
const page = await open(browser, { theme: "dark", allow: (text) => /status of (404|500)|ERR_INTERNET_DISCONNECTED/.test(text) });
const alert = page.getByRole("alert");
await signIn(page);
await steps({
  "the server's own words are shown, and it can be tried again": async () => {
    await page.route("**/api/v2/projects/*/branches", (route) => route.fulfill({ status: 500, json: { code: "", message: "the disk is full" } }));
    await page.goto(projectPage("branches"));
    await alert.getByText("the disk is full").waitFor();
    await page.shot("trouble");
    await page.axe("trouble");
    await page.unroute("**/api/v2/projects/*/branches");
    await alert.getByRole("button", { name: "Try again" }).click();
    await page.locator('[data-branch="main"]').waitFor();
    await alert.waitFor({ state: "detached" });
  },
  "what was loaded stays while the platform is away, and is said to be old": async () => {
    await page.context().setOffline(true);
    await alert.getByText("Halogen does not answer").waitFor();
    await page.locator('[data-branch="main"]').waitFor();
    await page.context().setOffline(false);
    await alert.waitFor({ state: "detached" });
  },
  "what is not there is said so": async () => {
    await page.goto(`${home}/projects/none-such`);
    await page.getByRole("heading", { name: "There is no such project" }).waitFor();
    await page.shot("no-such-project");
    await page.axe("no such project");
    await page.goto(`${home}/nowhere/at/all`);
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
    await page.getByRole("link", { name: "All projects" }).click();
    await page.getByRole("heading", { name: "Projects" }).waitFor();
    assert.equal(new URL(page.url()).pathname, "/");
  },
});
page.check();
await browser.close();
