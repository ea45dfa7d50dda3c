// One browser for all programs of a test run: prints where they find it, and ends with its standard input.
import { chromium } from "playwright-core";
import { options } from "./browser.mjs";

const server = await chromium.launchServer(options);
console.log(server.wsEndpoint());
process.stdin.resume();
process.stdin.on("end", () => void server.close());
