// Makes an extension that Chromium loads of the files beside this one.

import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";

/** Without them the extension's code refuses to run: messages of two extensions would be mixed up. */
const PREFIXES = { EXTENSION_PREFIX: "poq-test", PORT_PREFIX: "poq-test" };

/** Builds the extension into a folder. */
export async function buildWallet(folder: string) {
  const root = import.meta.dirname;
  for (const name of ["background", "content", "page", "notification"]) {
    await build({
      root,
      configFile: false,
      logLevel: "error",
      publicDir: false,
      // `global`: Node.js's name, which the extension's own bundler provides as well.
      define: { "process.env": PREFIXES, global: "globalThis" },
      build: {
        outDir: folder,
        emptyOutDir: false,
        rollupOptions: {
          input: join(root, `${name}.js`),
          output: { format: "iife", entryFileNames: `${name}.js` },
        },
      },
    });
  }
  for (const file of ["manifest.json", "notification.html"]) await copyFile(join(root, file), join(folder, file));
}
