// Joins the modules into the files that ship: a hashed static file cannot import another, as Django does not rewrite imports.
// Minified, for every visitor loads them; the map beside each holds the modules' text, so that a debugger shows these very files.
// `--check` only says whether the files are what the modules make now.
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../static/sse_notify");

/** What ships, and the module that each is made from: what every visitor loads, and what it loads when it is needed. */
export const SHIPPED = join(folder, "sse-notify.js");
export const ARRIVALS = join(folder, "sse-notify-arrivals.js");
export const SOURCES = { [SHIPPED]: "main.js", [ARRIVALS]: "arrivals.js" };

/**
 * Members of objects that are no class's, and that the modules of the one file share: their names are shortened. None may be a member of what
 * browsers, the types, the server's answers or the other file know; tests/js/shipped.test.mjs looks.
 */
export const INTERNAL =
  `adoptState attempt catchUp drawSoon dropHeld emit failed follow forget hear hold isHeldBack isLeader isLoading isOpen lead leave listenTo
  look newsFeed onForbidden onMessage onSignedOut onState panel placer receive regret releaseHeld requests showHeld steps streamAddress tell
  users`.split(/\s+/);

const BANNER = "// sse_notify";

/**
 * Return the text of a script that ships, and of its source map.
 *
 * @param {string} path
 */
export async function joined(path) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [/** @type {string} */ (SOURCES[path])],
    outfile: path,
    bundle: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    minify: true,
    mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
    sourcemap: "external",
    write: false,
    logLevel: "silent", // a failure is thrown
  });
  const [joint = "", text = ""] = [".map", ".js"].map(
    (ending) => outputFiles.find(({ path }) => path.endsWith(ending))?.text,
  );
  // One after the other they make it 3 % smaller than either alone: only esbuild shortens the names of private members.
  const { code, map } = await minify(text, {
    module: true,
    ecma: 2020,
    compress: {
      passes: 6,
      keep_fargs: false,
      hoist_funs: true,
      lhs_constants: false,
      // What these take for granted holds here: getters do nothing but get, no function is a constructor, text is made of text and numbers.
      pure_getters: true,
      unsafe_arrows: true,
      unsafe: true,
      unsafe_math: true,
    },
    format: { preamble: BANNER },
    // The comment stands on a line of its own at the end, where Django's hashed storages look for it.
    sourceMap: { content: joint, url: `${basename(path)}.map`, includeSources: true },
  });
  const parsed = JSON.parse(/** @type {string} */ (map));
  // Names for people: the text is in the map, and nothing is fetched from there.
  parsed.sources = parsed.sources.map((/** @type {string} */ name) => `js/${basename(name)}`);
  return { [path]: `${code}\n`, [`${path}.map`]: `${JSON.stringify(parsed)}\n` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  for (const shipped of Object.keys(SOURCES)) {
    for (const [path, text] of Object.entries(await joined(shipped))) {
      if (!check) await writeFile(path, text);
      else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
        console.error(`${relative(process.cwd(), path)} is stale: npm run build`);
        process.exitCode = 1;
      }
    }
  }
}
