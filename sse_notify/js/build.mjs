// Joins the modules into the one file that ships: a hashed static file cannot import another, as Django does not rewrite imports.
// Not minified, as who debugs a site reads it; without the comments, which are here and would double what every visitor loads. `--check` only says whether the file is what the modules make now.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
export const SHIPPED = join(here, "../static/sse_notify/sse-notify.js");

const BANNER = "// sse_notify: live notifications. Joined from the modules in sse_notify/js/ by build.mjs; edit those.";

/** Return the text of the joined script. */
export async function joined() {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: ["main.js"],
    bundle: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    minifyWhitespace: true, // the only way to lose all comments; the layout comes back below
    write: false,
    logLevel: "silent", // a failure is thrown
  });
  const { code } = await transform(outputFiles[0].text, { charset: "utf8", target: "es2022" });
  return `${BANNER}\n${code}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await joined();
  if (!process.argv.includes("--check")) await writeFile(SHIPPED, text);
  else if ((await readFile(SHIPPED, "utf8").catch(() => "")) !== text) {
    console.error(`${relative(process.cwd(), SHIPPED)} is stale: npm run build`);
    process.exitCode = 1;
  }
}
