import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import tailwindcss from "@tailwindcss/vite";
import { defineConfig, type Plugin } from "vite";

// Beside each text file the same, compressed: the platform serves it as it is.
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => {
      folder = resolve(config.root, config.build.outDir);
    },
    async closeBundle() {
      for (const name of await readdir(folder, { recursive: true })) {
        const file = join(folder, name);
        if (/\.(js|css|svg|html)$/.test(name)) await writeFile(`${file}.gz`, gzipSync(await readFile(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), compressed()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // No data: URLs, which the content security policy does not know.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: {
    // `npm run dev` beside a running platform.
    proxy: Object.fromEntries(
      ["/api", "/sql", "/v2"].map((path) => [
        path,
        { target: process.env.HALOGEN_URL ?? "http://127.0.0.1:8080", ws: path === "/v2" },
      ]),
    ),
  },
});
