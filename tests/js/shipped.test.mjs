// What users get: the built scripts, as they are in the package.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { built, INTERNAL, SCRIPTS } from "../../sse_notify/js/build.mjs";

const [SHIPPED = ""] = Object.keys(SCRIPTS);
const text = await readFile(SHIPPED, "utf8");
const arrivals = await readFile(SHIPPED.replace(/\.js$/, "-arrivals.js"), "utf8");
const eventsource = await readFile(SHIPPED.replace(/\.js$/, "-eventsource.js"), "utf8");
const fetching = await readFile(SHIPPED.replace(/\.js$/, "-fetch.js"), "utf8");
const alerts = await readFile(SHIPPED.replace(/\.js$/, "-alerts.js"), "utf8");
const stylesheet = await readFile(SHIPPED.replace(/\.js$/, ".css"));
const types = await readFile(SHIPPED.replace(/\.js$/, ".d.ts"), "utf8");

/** What `gzip -9` makes of a file at worst: it puts the name before it, and other zlibs than Node's pack 0.25 % less. */
const gzipped = (content) => Math.ceil(25 + 1.0025 * gzipSync(content, { level: 9 }).length);

for (const script of Object.keys(SCRIPTS)) {
  test(`shipped: ${basename(script)} and its map are what the modules make now (npm run build)`, async () => {
    const files = await built(script);
    assert.equal(files.length, 2);
    for (const { path, text: content } of files) {
      // Not assert.equal: it would print both.
      assert.ok((await readFile(path, "utf8")) === content, `${basename(path)} is stale`);
    }
  });

  test(`shipped: ${basename(script)} names its map, which holds the text of the modules and no path of the machine`, async () => {
    const content = await readFile(script, "utf8");
    assert.ok(content.endsWith(`\n//# sourceMappingURL=${basename(script)}.map\n`));
    const { sources, sourcesContent } = JSON.parse(await readFile(`${script}.map`, "utf8"));
    assert.ok(sources.length);
    for (const [at, name] of sources.entries()) {
      assert.match(name, /^\.\.\/\.\.\/js\/\w+\.js$/);
      const module = await readFile(join(dirname(script), name), "utf8");
      assert.ok(sourcesContent[at] === module, `${name} is another in the map`);
    }
  });
}

for (const [name, content, budget] of [
  ["sse-notify.js", text, 11_500],
  ["sse-notify-arrivals.js", arrivals, 3_400],
  ["sse-notify-alerts.js", alerts, 2_400],
  ["sse-notify-eventsource.js", eventsource, 800],
  ["sse-notify-fetch.js", fetching, 1_600],
  ["sse-notify.css", stylesheet, 3_400],
]) {
  test(`shipped: ${name} stays within its budget`, (t) => {
    const size = gzipped(content);
    t.diagnostic(`${name}: ${size} bytes gzip of ${budget}`);
    assert.ok(size <= budget, `${name} has ${size} bytes`);
  });
}

test("shipped: no script imports another but the first one, when it needs it, and none makes markup or code out of text", () => {
  const forbidden =
    /(?:^|[;}])\s*import\b(?!\.meta)|\brequire\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage/m;
  const lazy = [arrivals, alerts, eventsource, fetching];
  for (const script of [text, ...lazy]) assert.doesNotMatch(script, forbidden);
  for (const script of lazy) assert.doesNotMatch(script, /\bimport\(/);
  const [hashed, ...plain] = text.match(/\bimport\([^)]*/g);
  // Bundlers leave the first alone, and make a chunk of each of the others.
  assert.match(hashed, /^import\(`\$\{/);
  assert.deepEqual(plain, [
    'import("./sse-notify-arrivals.js"',
    'import("./sse-notify-eventsource.js"',
    'import("./sse-notify-fetch.js"',
  ]);
});

test("shipped: no stylesheet has a logical shorthand with var(), which WebKit drops below `all: revert-layer`", async () => {
  const shorthand =
    /^\s*(border-(block|inline)(-start|-end)?|(margin|padding|inset)-(block|inline)): [^;]*var\(/m;
  assert.match("  border-block-end: 1px solid var(--_line);", shorthand);
  const folder = dirname(SHIPPED);
  const names = (await readdir(folder)).filter((name) => name.endsWith(".css"));
  assert.ok(names.length > 3);
  for (const name of names)
    assert.doesNotMatch(await readFile(join(folder, name), "utf8"), shorthand, name);
});

test("shipped: Node imports it without a page, and its exports are those that the types declare", async () => {
  const exported = Object.keys(await import(SHIPPED)).sort();
  const declared = [...types.matchAll(/^export declare (?:class|function) (\w+)/gm)]
    .map(([, name]) => name)
    .sort();
  assert.deepEqual(exported, declared);
});

test("shipped: Node reads a stream of one's own with it, and its errors are those that it exports", async () => {
  const { fetchEventStream, SseNotifyError } = await import(SHIPPED);
  const answers = [
    new Response("id: 1\ndata: a\n\n", { headers: { "Content-Type": "text/event-stream" } }),
    new Response("", { status: 404 }),
  ];
  const heard = [];
  const options = {
    fetch: async () => answers.shift(),
    onEvent: ({ data }) => heard.push(data),
  };
  assert.equal(await fetchEventStream("https://site.test/", options), "1");
  assert.deepEqual(heard, ["a"]);
  await assert.rejects(fetchEventStream("https://site.test/", options), SseNotifyError);
});

test("shipped: no name that is shortened is one that pages or other scripts use", async () => {
  const names = (content) =>
    content
      .replaceAll(/\/\*.*?\*\/|\/\/[^\n]*/gs, "")
      .match(/\w+/g)
      .filter((name) => INTERNAL.test(name));
  assert.deepEqual(names(types), []);
  for (const script of Object.keys(SCRIPTS).slice(1)) {
    const { sourcesContent } = JSON.parse(await readFile(`${script}.map`, "utf8"));
    assert.deepEqual(names(sourcesContent.join("")), [], basename(script));
  }
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
