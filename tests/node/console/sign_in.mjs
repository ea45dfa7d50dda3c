// The ways in and out.
import { assert, home, launch, open, steps } from "./browser.mjs";

const browser = await launch();
// The browser logs each answer of status 401 as an error; refused sign-ins are what is tried here.
const page = await open(browser, { allow: (text) => text.includes("status of 401") });
const here = () => new URL(page.url());
await steps({
  "whoever is not signed in sees no project": async () => {
    await page.goto(`${home}/projects/none`);
    await page.getByRole("heading", { name: "Sign in to Halogen" }).waitFor();
    await page.shot("sign-in");
    await page.axe("sign-in");
  },
  "a wrong password is refused with a reason": async () => {
    await page.getByLabel("Password or API key").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("does not let you in").waitFor();
  },
  "the link works once and leaves no secret in the address": async () => {
    await page.goto(process.env.CONSOLE_LINK);
    await page.getByRole("heading", { name: "Projects" }).waitFor();
    assert.equal(here().hash, "");
    assert.equal(here().pathname, "/");
  },
  "no script can read the session": async () => {
    assert.equal(await page.evaluate(() => document.cookie), "");
    const [cookie] = (await page.context().cookies(`${home}/api/v2`)).filter((one) => one.name.startsWith("halogen_session"));
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  },
  "after signing out the link is of no use any more": async () => {
    await page.getByRole("button", { name: "Operator" }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to Halogen" }).waitFor();
    await page.goto(process.env.CONSOLE_LINK);
    await page.getByRole("alert").getByText("used already").waitFor();
  },
  "an API key lets in, and a reload asks nothing": async () => {
    await page.getByLabel("Password or API key").fill(process.env.API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Projects" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Projects" }).waitFor();
  },
  "a key is made, shown once, and revoked": async () => {
    const dialog = page.getByRole("dialog");
    const lists = async (key) => (await fetch(`${home}/api/v2/projects`, { headers: { Authorization: `Bearer ${key}` } })).status;
    await page.goto(`${home}/account`);
    await page.getByRole("button", { name: "New key" }).click();
    await dialog.getByLabel("Name").fill("ci");
    await dialog.getByRole("button", { name: "Create key" }).click();
    const key = await dialog.getByText("napi_").innerText();
    assert.equal(await lists(key), 200);
    await page.shot("api-key");
    await page.keyboard.press("Escape");
    const listed = page.getByRole("listitem").filter({ hasText: "ci" }).filter({ hasText: "made" });
    await listed.getByRole("button", { name: "Revoke" }).click();
    await dialog.getByRole("button", { name: "Revoke key" }).click();
    await listed.waitFor({ state: "detached" });
    assert.equal(await lists(key), 401);
  },
});
page.check();
await browser.close();
