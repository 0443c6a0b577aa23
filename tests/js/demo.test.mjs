// The scripts of the demo site's pages, as they are.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { parse } from "acorn";

const folder = new URL("../../static/demo/", import.meta.url);

/** Return all nodes of a syntax tree. */
const nodes = (tree) =>
  tree && typeof tree === "object" ? [tree, ...Object.values(tree).flatMap(nodes)] : [];

test("demo: a redirect takes no form, and so no CSRF token, to another origin", async () => {
  const asked = [];
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".js")) continue;
    const text = await readFile(new URL(name, folder), "utf8");
    for (const node of nodes(parse(text, { ecmaVersion: "latest", sourceType: "module" }))) {
      if (node.type !== "CallExpression" || node.callee.name !== "fetch") continue;
      const given = node.arguments[1]?.properties ?? [];
      const mode = given.find(({ key }) => key?.name === "mode")?.value.value;
      asked.push([text.slice(node.start, node.end).split("\n")[0], mode]);
    }
  }
  assert.ok(asked.length > 7);
  assert.deepEqual(
    asked.filter(([, mode]) => mode !== "same-origin"),
    [],
  );
});
