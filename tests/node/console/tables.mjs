// Tables: paging, sorting, filtering; rows changed, added and deleted with their SQL shown, all or nothing.
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
// A change that is refused is answered with status 400, which the browser logs.
const page = await open(browser, { allow: (text) => text.includes("status of 400") });
const dialog = page.getByRole("dialog");
const cell = (name) => page.getByRole("gridcell", { name, exact: true });
const edit = async (from, to) => {
  await cell(from).dblclick();
  await page.getByLabel("New value").fill(to);
  await page.keyboard.press("Enter");
};
const save = async () => {
  await page.getByRole("button", { name: "Review and save" }).click();
  const sql = await dialog.locator("pre").innerText();
  await dialog.getByRole("button", { name: /^Save/ }).click();
  return sql;
};
await signIn(page);
await page.goto(projectPage("tables"));
await steps({
  "a table is chosen and paged": async () => {
    await page.getByRole("button", { name: "stock" }).click();
    await cell("thing 1").waitFor();
    await page.getByText("1–100").waitFor();
    await page.getByRole("button", { name: "Next page" }).click();
    await page.getByText("101–200").waitFor();
    await cell("thing 101").waitFor();
    await page.shot("table");
    await page.axe("table");
  },
  "it is sorted and filtered": async () => {
    await page.getByRole("button", { name: "id", exact: true }).click();
    await page.getByRole("button", { name: "id ascending" }).click();
    await cell("thing 250").waitFor();
    await page.getByRole("button", { name: "Filter", exact: true }).click();
    await page.getByLabel("Column").selectOption("name");
    await page.getByLabel("Comparison").selectOption("contains");
    await page.getByLabel("Value", { exact: true }).fill("THING 24");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("1–11").waitFor();
  },
  "changes are shown as SQL and saved together": async () => {
    await edit("thing 249", "it's new");
    await page.getByRole("button", { name: /^Delete row 1$/ }).first().focus();
    await page.getByRole("button", { name: /^Delete row 11$/ }).click();
    await page.getByTestId("pending").getByText("2 unsaved changes").waitFor();
    await page.shot("table-changed");
    const sql = await save();
    assert.match(sql, /UPDATE public\.stock SET name = 'it''s new' WHERE id = '249' AND name::text IS NOT DISTINCT FROM 'thing 249';/);
    assert.match(sql, /DELETE FROM public\.stock WHERE id = '24';/);
    await page.getByTestId("pending").waitFor({ state: "detached" });
    await page.getByText("1–9").waitFor(); // One was deleted, one has another name.
  },
  "a row that somebody else changed stops it all": async () => {
    await edit("thing 240", "mine");
    await edit("thing 241", "mine, too");
    const response = await page.evaluate(async (string) => {
      const answer = await fetch("/sql", { method: "POST", headers: { "Neon-Connection-String": string }, body: JSON.stringify({ query: "UPDATE stock SET name = 'theirs' WHERE id = 241" }) });
      return answer.status;
    }, process.env.STRING);
    assert.equal(response, 200);
    await save();
    await dialog.getByRole("alert").getByText("no longer as you saw it").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("button", { name: "Look again" }).click();
    await cell("thing 240").waitFor();
  },
  "a row is added, with a null and defaults": async () => {
    await page.getByRole("button", { name: "Take the filter away" }).click();
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("1–100").waitFor();
    await page.getByRole("button", { name: "Add row" }).click();
    const added = page.getByRole("row").filter({ has: page.getByRole("button", { name: "Take the new row away" }) });
    await added.getByRole("gridcell").first().dblclick();
    await page.getByLabel("New value").fill("1000");
    await page.keyboard.press("Enter");
    await added.getByRole("gridcell").nth(1).dblclick();
    await page.getByRole("button", { name: "NULL" }).click();
    assert.match(await save(), /INSERT INTO public\.stock \(id, name\) VALUES \('1000', NULL\);/);
    await page.getByTestId("pending").waitFor({ state: "detached" });
    await cell("1000").waitFor();
  },
  "what it is made of is shown": async () => {
    await page.getByRole("tab", { name: "structure" }).click();
    await page.getByText("CREATE INDEX stock_by_name").waitFor();
    await page.getByText("CHECK ((price >= (0)::numeric))").waitFor();
    await page.shot("table-structure");
    await page.axe("structure");
  },
  "a view and a table without a key are read only": async () => {
    await page.getByRole("button", { name: "cheap" }).click();
    await page.getByText("Read only", { exact: true }).waitFor();
    await page.getByRole("button", { name: "keyless" }).click();
    await page.getByText("it has no primary key").waitFor();
  },
});
page.check();
await browser.close();
