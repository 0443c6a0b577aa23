// What users get: the joined files, as they are in the package.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { ARRIVALS, INTERNAL, joined, SHIPPED, SOURCES } from "../../sse_notify/js/build.mjs";

const text = await readFile(SHIPPED, "utf8");
const arrivals = await readFile(ARRIVALS, "utf8");
const alerts = await readFile(SHIPPED.replace(/\.js$/, "-alerts.js"), "utf8");
const stylesheet = await readFile(SHIPPED.replace(/\.js$/, ".css"));
const types = await readFile(SHIPPED.replace(/\.js$/, ".d.ts"), "utf8");

/** What `gzip -9` makes of a file at worst: it puts the name before it, and other zlibs than Node's pack 0.25 % less. */
const gzipped = (content) => Math.ceil(25 + 1.0025 * gzipSync(content, { level: 9 }).length);

for (const path of Object.keys(SOURCES)) {
  test(`shipped: ${basename(path)} and its map are what the modules make now (npm run build)`, async () => {
    for (const [made, content] of Object.entries(await joined(path))) {
      // Not assert.equal: it would print both.
      assert.ok((await readFile(made, "utf8")) === content, `${basename(made)} is stale`);
    }
  });

  test(`shipped: the map of ${basename(path)} holds the text of the modules, and no path of the machine that made it`, async () => {
    const { sources, sourcesContent } = JSON.parse(await readFile(`${path}.map`, "utf8"));
    assert.ok(sources.length > 1);
    for (const [at, name] of sources.entries()) {
      assert.match(name, /^js\/\w+\.js$/);
      const module = await readFile(new URL(`../../sse_notify/${name}`, import.meta.url), "utf8");
      assert.ok(sourcesContent[at] === module, `${name} is another in the map`);
    }
  });
}

for (const [name, content, budget] of [
  ["sse-notify.js", text, 11_000],
  ["sse-notify-arrivals.js", arrivals, 3_200],
  ["sse-notify-alerts.js", alerts, 2_400],
  ["sse-notify.css", stylesheet, 3_000],
]) {
  test(`shipped: ${name} stays within its budget`, (t) => {
    const size = gzipped(content);
    t.diagnostic(`${name}: ${size} bytes gzip of ${budget}`);
    assert.ok(size <= budget, `${name} has ${size} bytes`);
  });
}

test("shipped: nothing is loaded but the one file beside it, and no markup and no code is made out of text", () => {
  const forbidden =
    /(?:^|[;}])\s*import\b(?!\.meta)|\brequire\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage/m;
  for (const script of [text, arrivals]) assert.doesNotMatch(script, forbidden);
  assert.equal(text.match(/\bimport\(/g).length, 1);
  assert.match(text, /new URL\("sse-notify-arrivals\.js",import\.meta\.url\)/);
  assert.doesNotMatch(arrivals, /\bimport\(/);
});

test("shipped: no name that was shortened means something elsewhere", async () => {
  const library = join(
    createRequire(import.meta.url).resolve("typescript/package.json"),
    "../../@typescript",
  );
  const files = (await readdir(library, { recursive: true })).filter((name) =>
    /lib\.[\w.]+\.d\.ts$/.test(name),
  );
  const known = new Set(
    [...types.matchAll(/\w+/g), ...arrivals.matchAll(/\w+/g)].map(([word]) => word),
  );
  for (const name of files) {
    const content = await readFile(join(library, name), "utf8");
    for (const [, member] of content.matchAll(
      /^\s+(?:readonly |get |set |static )*(\w+)\??[(:<]/gm,
    ))
      known.add(member);
  }
  assert.ok(known.has("querySelector") && known.has("flatMap"));
  assert.deepEqual(
    INTERNAL.filter((name) => known.has(name)),
    [],
  );
  for (const name of INTERNAL)
    assert.doesNotMatch(text, new RegExp(`[.{,]${name}\\b`), `${name} is still there`);
});

test("shipped: Node imports it without a page, and its exports are those that the types declare", async () => {
  const exported = Object.keys(await import(SHIPPED)).sort();
  const declared = [...types.matchAll(/^export declare (?:class|function) (\w+)/gm)]
    .map(([, name]) => name)
    .sort();
  assert.deepEqual(exported, declared);
});

test("shipped: the client has the members that the types declare, and no others", async () => {
  const { SseNotifyClient } = await import(SHIPPED);
  const body = types.match(/declare class SseNotifyClient \{(.*?)^\}/ms)[1];
  const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(<:]/gm)]
    .map(([, name]) => name)
    .sort();
  const client = new SseNotifyClient({ urls: {} });
  const found = [
    ...Object.getOwnPropertyNames(SseNotifyClient.prototype),
    ...Object.keys(client),
  ].sort();
  assert.deepEqual(found, declared);
});
