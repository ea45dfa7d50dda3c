import { readdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import tailwindcss from "@tailwindcss/vite";
import { defineConfig, type Plugin } from "vite";

// Beside each text file the same, compressed: the platform serves it as it is.
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    async closeBundle() {
      const folder = new URL("./dist/", import.meta.url);
      for (const name of await readdir(folder, { recursive: true })) {
        if (!/\.(js|css|svg|html)$/.test(name)) continue;
        const file = new URL(name, folder);
        await writeFile(`${file.pathname}.gz`, gzipSync(await readFile(file), { level: 9 }));
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
