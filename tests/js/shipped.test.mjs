// What users get: the joined file, as it is in the package.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { joined, MAP, SHIPPED } from "../../sse_notify/js/build.mjs";

const text = await readFile(SHIPPED, "utf8");
const stylesheet = await readFile(SHIPPED.replace(/\.js$/, ".css"));
const types = await readFile(SHIPPED.replace(/\.js$/, ".d.ts"), "utf8");

const gzipped = (content) => gzipSync(content, { level: 9 }).length;

test("shipped: the script and its map are what the modules make now (npm run build)", async () => {
  const { script, map } = await joined();
  // Not assert.equal: it would print both.
  assert.ok(text === script, "the script is stale");
  assert.ok((await readFile(MAP, "utf8")) === map, "the map is stale");
});

test("shipped: the map holds the text of the modules, and no path of the machine that made it", async () => {
  const { sources, sourcesContent } = JSON.parse(await readFile(MAP, "utf8"));
  assert.ok(sources.includes("js/client.js"));
  for (const [at, name] of sources.entries()) {
    assert.match(name, /^js\/\w+\.js$/);
    const module = await readFile(new URL(`../../sse_notify/${name}`, import.meta.url), "utf8");
    assert.ok(sourcesContent[at] === module, `${name} is another in the map`);
  }
});

for (const [name, content, budget] of [
  ["sse-notify.js", text, 11_000],
  ["sse-notify.css", stylesheet, 3_000],
]) {
  test(`shipped: ${name} stays within its budget`, (t) => {
    const size = gzipped(content);
    t.diagnostic(`${name}: ${size} bytes gzip of ${budget}`);
    assert.ok(size <= budget, `${name} has ${size} bytes`);
  });
}

test("shipped: one file that loads nothing, and makes no markup and no code out of text", () => {
  const forbidden =
    /(?:^|[;}])\s*import\b|\bimport\(|\brequire\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage/m;
  assert.doesNotMatch(text, forbidden);
});

test("shipped: Node imports it without a page, and its exports are those that the types declare", async () => {
  const exported = Object.keys(await import(SHIPPED)).sort();
  const declared = [...types.matchAll(/^export declare (?:class|function) (\w+)/gm)].map(([, name]) => name).sort();
  assert.deepEqual(exported, declared);
});

test("shipped: the client has the members that the types declare, and no others", async () => {
  const { SseNotifyClient } = await import(SHIPPED);
  const body = types.match(/declare class SseNotifyClient \{(.*?)^\}/ms)[1];
  const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(<:]/gm)].map(([, name]) => name).sort();
  const client = new SseNotifyClient({ urls: {} });
  const found = [...Object.getOwnPropertyNames(SseNotifyClient.prototype), ...Object.keys(client)].sort();
  assert.deepEqual(found, declared);
});
