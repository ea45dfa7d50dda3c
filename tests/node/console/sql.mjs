// The SQL editor: results, errors at their place, plans, cancelling, the past, a million rows, what is remembered.
import { text } from "node:stream/consumers";
import { assert, launch, open, projectPage, signIn, steps } from "./browser.mjs";

const browser = await launch();
const page = await open(browser);
const dialog = page.getByRole("dialog");
const editor = page.locator(".cm-content");
const summary = page.getByTestId("result-summary");
const run = page.getByRole("button", { name: "Run", exact: true });
const type = async (sql) => {
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(sql);
};
const exported = async (kind) => {
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([page.waitForEvent("download", { timeout: 60_000 }), page.getByRole("menuitem", { name: kind }).click()]);
  return text(await download.createReadStream());
};
await signIn(page);
await page.goto(projectPage("sql"));
await steps({
  "it works while the compute wakes": async () => {
    await type("SELECT 1 AS one");
    await page.keyboard.press("Control+Enter");
    await summary.getByText("1 row in").waitFor();
  },
  "each statement has a result": async () => {
    await type("CREATE TABLE fruit (id int PRIMARY KEY, name text, note json);\nINSERT INTO fruit VALUES (1, 'fig; \"ripe\"', '{\"a\": 1}'), (2, 'nüt', NULL);\nSELECT * FROM fruit ORDER BY id;\n");
    await run.click();
    await summary.getByText("2 rows in").waitFor();
    assert.equal(await page.getByRole("tab").count(), 3);
    await page.getByRole("gridcell", { name: 'fig; "ripe"' }).waitFor();
    await page.shot("sql-results");
    await page.axe("sql");
    await page.getByRole("tab").nth(1).click();
    await page.getByText("INSERT 0 2").first().waitFor();
    await page.getByRole("tab").nth(2).click();
  },
  "a result is exported": async () => {
    assert.equal(await exported("CSV"), 'id,name,note\r\n1,"fig; ""ripe""","{""a"": 1}"\r\n2,nüt,\r\n');
    assert.deepEqual(JSON.parse(await exported("JSON")), [{ id: 1, name: 'fig; "ripe"', note: { a: 1 } }, { id: 2, name: "nüt", note: null }]);
  },
  "names of the schema are offered": async () => {
    await type("SELECT * FROM fr");
    await page.keyboard.press("Control+Space");
    await page.locator(".cm-tooltip-autocomplete").getByText("fruit").first().waitFor();
    await page.keyboard.press("Escape");
  },
  "an error is marked where it is": async () => {
    await type("SELECT 1;\n-- ü\nSELECT id, nothing FROM fruit;");
    await run.click();
    await page.getByTestId("sql-error").getByText('column "nothing" does not exist').waitFor();
    assert.equal(await page.locator(".cm-lintRange-error").first().textContent(), "nothing");
  },
  "only what is selected is run": async () => {
    await type("SELECT 'first';\nSELECT 'second';");
    await page.keyboard.press("Control+Home");
    await page.keyboard.press("Shift+End");
    await page.keyboard.press("Control+Enter");
    await page.getByRole("gridcell", { name: "first" }).waitFor();
    assert.equal(await page.getByRole("tab").count(), 0);
  },
  "the session lasts: a transaction stays open, and is seen": async () => {
    await type("BEGIN; DELETE FROM fruit;");
    await run.click();
    await page.getByText("transaction open").waitFor();
    await type("ROLLBACK");
    await run.click();
    await page.getByText("transaction open").waitFor({ state: "detached" });
  },
  "a plan is a tree, and what it ran is undone": async () => {
    await type("DELETE FROM fruit WHERE id > 0");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("menuitem", { name: /Analyze/ }).click();
    await page.getByText("execution").waitFor();
    await page.getByRole("button", { name: "ModifyTable" }).waitFor();
    await page.shot("sql-plan");
    await type("SELECT count(*) FROM fruit");
    await run.click();
    await page.getByRole("gridcell", { name: "2", exact: true }).waitFor();
  },
  "what runs is cancelled": async () => {
    await type("SELECT pg_sleep(60)");
    await run.click();
    await page.getByText("Running…").waitFor();
    await page.waitForTimeout(300);
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByTestId("sql-error").getByText("canceling statement due to user request").waitFor();
  },
  "a million rows scroll": async () => {
    await type("SELECT i, 'row ' || i AS text FROM generate_series(1, 1000000) i");
    // The page is never held for the whole of what it was given: it shows how far it is, and an export is many tasks.
    await page.evaluate(() => {
      window.seen = new Set();
      window.looking = setInterval(() => {
        const rows = document.body.textContent.match(/([\d,]+) rows so far/);
        if (rows) window.seen.add(rows[1]);
      }, 20);
    });
    await run.click();
    await summary.getByText("1,000,000 rows in").waitFor({ timeout: 60_000 });
    const shown = await page.evaluate(() => (clearInterval(window.looking), window.seen.size));
    assert(shown >= 3, `only ${shown} numbers of rows were shown on the way to a million`);
    await page.evaluate(() => {
      window.longestTask = 0;
      window.began = performance.now();
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) window.longestTask = Math.max(window.longestTask, duration);
      }).observe({ type: "longtask" });
    });
    assert.equal((await exported("CSV")).split("\r\n").length, 1_000_002);
    const { longest, whole } = await page.evaluate(() => ({ longest: window.longestTask, whole: performance.now() - window.began }));
    assert(longest < whole / 2, `one task took ${longest} of the ${whole} ms of an export`);
    const grid = page.getByRole("grid");
    assert((await page.getByRole("row").count()) < 100);
    await grid.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.getByRole("gridcell", { name: "row 1000000" }).waitFor();
    await grid.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    await page.getByRole("gridcell", { name: /^row (49|50)\d{4}$/ }).first().waitFor();
  },
  "the past is read, and cannot be changed": async () => {
    await page.getByRole("button", { name: "Run at a moment of the past" }).click();
    await dialog.getByLabel("or LSN").fill(process.env.LSN_BEFORE);
    await dialog.getByRole("button", { name: "Go there" }).click();
    await page.getByText("as of").waitFor();
    await type("SELECT count(*) FROM ledger; DELETE FROM ledger;");
    await run.click();
    await page.getByTestId("sql-error").getByText("read-only").waitFor();
    await page.getByRole("tab").first().click();
    await page.getByRole("gridcell", { name: "3", exact: true }).waitFor();
    await page.getByRole("button", { name: "Back to now" }).click();
  },
  "queries are saved, and what was run is remembered": async () => {
    await type("SELECT 'kept for later'");
    await page.getByRole("button", { name: "Saved queries" }).click();
    await dialog.getByLabel("Save what is in the editor as").fill("Later");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.keyboard.press("Escape");
    await page.reload();
    await editor.getByText("kept for later").waitFor();
    await type("SELECT 2");
    await page.getByRole("button", { name: "Saved queries" }).click();
    await dialog.getByText("Later", { exact: true }).click();
    await editor.getByText("kept for later").waitFor();
    await page.getByRole("button", { name: "History" }).click();
    await dialog.getByText("pg_sleep(60)").first().click();
    await editor.getByText("pg_sleep").waitFor();
  },
});
page.check();
await browser.close();
