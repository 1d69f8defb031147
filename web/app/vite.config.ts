import { defineConfig } from "vite";

export default defineConfig({
  // Any folder of any host can hold the page.
  base: "./",
  // Names of modules then do not depend on where node_modules is, and neither do the files.
  resolve: { preserveSymlinks: true },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: ["chrome122", "firefox127", "safari17.4"],
    // Every file is a file: the content security policy allows no data in scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    emptyOutDir: true,
    outDir: "../dist",
    // The metadata of the chain is one piece.
    chunkSizeWarningLimit: 1_000,
  },
});
