// Bundles a module as a project does: node bundle.mjs webpack|vite|esbuild ENTRY FOLDER. Prints what
// the bundler warns of; the bundle is FOLDER/main.js.
import { dirname } from "node:path";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import webpack from "webpack";

const [bundler, entry, folder] = process.argv.slice(2);
const warnings = [];

const bundlers = {
  esbuild: async () => {
    const built = await esbuild({
      entryPoints: { main: entry },
      outdir: folder,
      bundle: true,
      splitting: true,
      minify: true,
      format: "esm",
      define: { "process.env.NODE_ENV": '"production"' },
      nodePaths: ["node_modules"],
      logLevel: "silent",
    });
    warnings.push(...built.warnings);
  },
  vite: () =>
    vite({
      root: dirname(entry),
      base: "./",
      configFile: false,
      logLevel: "warn",
      customLogger: {
        ...console,
        info: () => {},
        warn: (text) => warnings.push(text),
        warnOnce: (text) => warnings.push(text),
        clearScreen: () => {},
        hasErrorLogged: () => false,
        hasWarned: false,
      },
      build: {
        outDir: folder,
        emptyOutDir: true,
        rollupOptions: { input: { main: entry }, output: { entryFileNames: "main.js" } },
      },
    }),
  webpack: () =>
    new Promise((resolve, reject) => {
      webpack({ mode: "production", entry, output: { path: folder } }, (error, stats) => {
        if (error || stats.hasErrors()) return reject(error ?? stats.toString());
        warnings.push(...stats.compilation.warnings);
        resolve();
      });
    }),
};

await bundlers[bundler]();
console.log(warnings.map(String).join("\n"));
