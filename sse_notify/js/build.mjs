// Builds the scripts that ship: each is bundled into one file, as Django does not rewrite the
// imports of hashed static files, and minified. The source map beside it holds the modules' text,
// so that a debugger shows these files. `--check` writes nothing, and fails if a file is not what
// the modules make now.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../static/sse_notify");

/**
 * The scripts that ship, each with the module that it is built from.
 *
 * @type {Record<string, string>}
 */
export const SCRIPTS = {
  [join(folder, "sse-notify.js")]: "main.js",
  [join(folder, "sse-notify-arrivals.js")]: "arrivals.js",
  [join(folder, "sse-notify-alerts.js")]: "alerts.js",
  [join(folder, "sse-notify-eventsource.js")]: "eventsource.js",
  [join(folder, "sse-notify-fetch.js")]: "fetch.js",
};

/**
 * Properties of objects that never leave `sse-notify.js`: they get short names there. Pages and the
 * other scripts use none of them.
 */
const NAMES = `
  adopt answer ask attempt buffered catchUp change channel check dispatch draw drawSoon emit
  end env eventId fail follow forget getAddress hold isOpen isOther lacking lead leads listen
  load loading onForbidden online onMessage onSignedOut onState panel receive relay release
  requests send settle steps toggle users visible
`;
export const INTERNAL = new RegExp(`^(${NAMES.trim().split(/\s+/).join("|")})$`);

/**
 * Leaves what is loaded later beside the script, under a name that browsers and bundlers find.
 *
 * @type {import("esbuild").Plugin}
 */
const lazily = {
  name: "lazily",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\// }, ({ kind, path }) =>
      kind === "dynamic-import"
        ? { path: path.replace("./", "./sse-notify-"), external: true }
        : undefined,
    );
  },
};

/**
 * Build a script and its source map.
 *
 * @param {string} path Where the script ships.
 * @returns {Promise<{path: string, text: string}[]>}
 */
export async function built(path) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [/** @type {string} */ (SCRIPTS[path])],
    outfile: path,
    bundle: true,
    minify: true,
    mangleProps: INTERNAL,
    sourcemap: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    write: false,
    plugins: [lazily],
    logLevel: "silent", // esbuild throws what went wrong
  });
  return outputFiles;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  for (const script of Object.keys(SCRIPTS)) {
    for (const { path, text } of await built(script)) {
      if (!check) await writeFile(path, text);
      else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
        console.error(`${relative(process.cwd(), path)} is stale: npm run build`);
        process.exitCode = 1;
      }
    }
  }
}
