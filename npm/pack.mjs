// Copies what ships with the Django app into the package, and its license, before `npm pack`.
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const shipped = join(here, "../sse_notify/static/sse_notify");

await rm(join(here, "dist"), { recursive: true, force: true });
await mkdir(join(here, "dist"));
for (const name of await readdir(shipped))
  if (name.startsWith("sse-notify")) await cp(join(shipped, name), join(here, "dist", name));
await cp(join(here, "../LICENSE"), join(here, "LICENSE"));
