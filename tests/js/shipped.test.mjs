// What users get: the joined file, as it is in the package.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { joined, SHIPPED } from "../../sse_notify/js/build.mjs";

const text = await readFile(SHIPPED, "utf8");
const stylesheet = await readFile(SHIPPED.replace(/\.js$/, ".css"));
const types = await readFile(SHIPPED.replace(/\.js$/, ".d.ts"), "utf8");

const gzipped = (content) => gzipSync(content, { level: 9 }).length;

test("shipped: the script is what the modules make now (npm run build)", async () => {
  assert.equal(text, await joined());
});

// Compressed bytes. The goal for the script is 11,000; with its names shortened it has them, but then nobody could read it.
const SCRIPT = 13_250;
const STYLES = 3_000;

test("shipped: script and styles stay within their budgets", () => {
  assert.ok(gzipped(text) <= SCRIPT, `the script has ${gzipped(text)} bytes`);
  assert.ok(gzipped(stylesheet) <= STYLES, `the styles have ${gzipped(stylesheet)} bytes`);
});

test("shipped: one file that loads nothing, and makes no markup and no code out of text", () => {
  const forbidden =
    /^\s*import\b|\bimport\(|\brequire\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage/m;
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
