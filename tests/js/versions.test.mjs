// The oldest browsers that have all that the package uses: computed, and written down as computed.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { test } from "node:test";
import {
  addInterfaces,
  addStylesheet,
  addSyntax,
  addTemplate,
  BROWSERS,
  compare,
  since,
  Uses,
} from "./features.mjs";

/**
 * What some of the browsers that are named do not have, and why nothing breaks there; a path stands
 * for all below it, too. `light-dark()` is not here: without it the panel is light on dark pages.
 */
const ENHANCEMENTS = {
  "css.at-rules.starting-style": "toasts and new items are there at once, instead of fading in",
  "css.properties.-webkit-locale": "where it is unknown, `all` leaves the language alone",
  "css.properties.accent-color": "known everywhere; some do not adapt a check mark's contrast",
  "css.properties.cursor": "a touch screen has none",
  "css.properties.overscroll-behavior": "does nothing only in a list too short to scroll",
  "css.properties.text-align.match-parent": "each browser knows this name or that with -webkit-",
  "html.elements.meta.name.viewport": "for phones, and all of them know it",
  "html.elements.datalist": "in Firefox for Android a category is typed without suggestions",
  "api.AudioParam.exponentialRampToValueAtTime": "the tone ends a little harder",
  "api.CustomElementRegistry.get": "Safari lacks only elements that extend built-in ones",
  "api.HTMLAnchorElement.ping": "no link's: `ping` of the event `hello`",
  "api.EventTarget.when": "no method: `data-when` of the admin's page",
  "api.Notification": "where it is not, nothing offers it; what it throws is caught",
  "api.fetch.options_parameter.keepalive":
    "without it a mark is lost only if the next page is faster",
};

/** What the data do not have, and since when browsers have it. */
const UNKNOWN = {
  "css.properties.display: -webkit-box": "with -webkit-line-clamp",
  "<svg fill>": "with <svg>",
  "<svg focusable>": "only Internet Explorer had it, and needed it",
  "<input value>": "with <input>",
  ".done": "with iterators",
  "EventSource.CLOSED": "with EventSource",
  "LockManagerSnapshot.held": "with LockManager.query()",
  "LockOptions.steal": "with LockManager.request()",
};

const shipped = new Uses();
const read = (path) => readFileSync(path, "utf8");
const STATIC = "sse_notify/static/sse_notify";
for (const path of globSync(`${STATIC}/*.css`)) addStylesheet(shipped, path, read(path));
for (const path of globSync("sse_notify/templates/**/*.html"))
  addTemplate(shipped, path, read(path));
for (const path of globSync([`${STATIC}/*.js`, "npm/{react,vue}.js"]))
  addSyntax(shipped, path, read(path));
// The types are in the modules that the scripts are built from, which another test keeps equal.
const modules = globSync(["sse_notify/js/*.js", `${STATIC}/admin*.js`, "npm/{react,vue}.js"]);
addInterfaces(
  shipped,
  modules.map((path) => resolve(path)),
);

const all = [...shipped.features.keys()];

/** Whether a feature, or what it may be if its type is unknown, is an enhancement or a part of one. */
const isPartOf = (feature, enhancement) =>
  feature.split("|").some((path) => `${path.replace("@", ".")}.`.startsWith(`${enhancement}.`));
const enhancements = all.filter((feature) =>
  Object.keys(ENHANCEMENTS).some((enhancement) => isPartOf(feature, enhancement)),
);
const minimum = shipped.minimum(enhancements);

/** Write versions as the documents do. */
function written({ Chrome, Edge, Firefox, Safari, iOS }) {
  const chromium = Chrome === Edge ? `Chrome and Edge ${Chrome}` : `Chrome ${Chrome}, Edge ${Edge}`;
  return `${chromium}, Firefox ${Firefox}, Safari ${Safari}${iOS === Safari ? "" : ` (iOS ${iOS})`}`;
}

/** Return the features of a sample, by what adds them. */
function found(add, file, text) {
  const uses = new Uses();
  add(uses, file, text);
  assert.deepEqual([...uses.unknown.keys()], [], text);
  return uses;
}

for (const path of ["README.md", "docs/explanation/browsers.md"]) {
  test(`versions: ${path} says since when browsers have all that is used`, (t) => {
    for (const [browser, version] of Object.entries(minimum)) {
      const newest = all.filter((feature) => since(feature, browser) === version);
      t.diagnostic(`${browser} ${version}: ${newest.join(", ")}`);
    }
    const text = read(path).replaceAll(/\s+/g, " ");
    assert.ok(text.includes(written(minimum)), `${path} does not say: ${written(minimum)}`);
  });
}

test("versions: docs/explanation/browsers.md says since when the bell is more than a link", () => {
  const versions = Object.keys(BROWSERS).map((browser) => [
    browser,
    since("api.HTMLElement.showPopover", browser), // the script looks for this
  ]);
  const said = `before ${written(Object.fromEntries(versions))} `;
  const text = read("docs/explanation/browsers.md").replaceAll(/\s+/g, " ");
  assert.ok(text.includes(said), said);
});

test("versions: each enhancement is used, and lacking in a browser that is named; others are no exception", () => {
  const lacking = enhancements.filter((feature) =>
    Object.entries(minimum).some(([browser, had]) => compare(since(feature, browser), had) > 0),
  );
  assert.deepEqual(
    Object.keys(ENHANCEMENTS).filter((one) => !lacking.some((feature) => isPartOf(feature, one))),
    [],
  );
});

test("versions: what the data do not have is known, name by name", () => {
  const files = ([what, where]) => `${what}: ${[...where].map((path) => basename(path))}`;
  const strange = [...shipped.unknown].filter(([what]) => !(what in UNKNOWN));
  assert.deepEqual(strange.map(files), []);
  assert.deepEqual(
    Object.keys(UNKNOWN).filter((what) => !shipped.unknown.has(what)),
    [],
  );
});

test("versions: all that a reader knows to be used is found", () => {
  for (const feature of [
    "api.BroadcastChannel",
    "api.HTMLButtonElement.popoverTargetElement",
    "api.HTMLElement.beforetoggle_event",
    "api.HTMLElement.togglePopover",
    "api.IntersectionObserver.observe",
    "api.LockManager.request",
    "api.AbortSignal.throwIfAborted",
    "css.at-rules.layer",
    "css.at-rules.media.forced-colors",
    "css.properties.translate",
    "css.selectors.has",
    "css.selectors.nesting",
    "css.selectors.popover-open",
    "css.types.color.color-mix",
    "css.types.color.light-dark",
    "css.types.global_keywords.revert-layer",
    "html.global_attributes.inert",
    "html.global_attributes.popover",
    "javascript.builtins.Array.at",
    "javascript.builtins.Intl.RelativeTimeFormat.format",
    "javascript.classes.private_class_methods",
    "javascript.operators.import_meta",
  ])
    assert.ok(shipped.features.has(feature), feature);
});

for (const [text, feature] of [
  ["p { color: contrast-color(red) }", "css.types.color.contrast-color"],
  ["p { width: calc-size(auto, size) }", "css.types.calc-size"],
  ["p { text-box: trim-both cap alphabetic }", "css.properties.text-box"],
  ["p { width: stretch }", "css.properties.width.stretch"],
  ["p { block-size: 3rcap }", "css.types.length.rcap"],
  ["p { margin-block: 1dvh }", "css.types.length.viewport_percentage_units_dynamic"],
  ["p::details-content { color: red }", "css.selectors.details-content"],
  ["a:not(.b:open) { color: red }", "css.selectors.open"],
  ["a { &:hover { color: red } }", "css.selectors.nesting"],
  ["@scope (a) { p { color: red } }", "css.at-rules.scope"],
  ["@media (width > 40em) { p { color: red } }", "css.at-rules.media.range_syntax"],
  [
    "@media (prefers-reduced-data: reduce) { p { color: red } }",
    "css.at-rules.media.prefers-reduced-data",
  ],
]) {
  test(`versions: in a stylesheet, ${feature} is found`, () => {
    assert.ok(found(addStylesheet, "sample.css", text).features.has(feature));
  });
}

for (const [text, feature] of [
  ['<button command="show-modal" commandfor="x">', "html.elements.button.commandfor"],
  ['<p popover="hint">', "html.global_attributes.popover.hint"],
  ['<a {% if x %}href="{{ y }}"{% endif %} interestfor="x">', "html.elements.a.interestfor"],
  ['<input type="week" name="x">', "html.elements.input.type_week"],
  ["<search><p></p></search>", "html.elements.search"],
  ['<div\n  inputmode="{{ x }}">', "html.global_attributes.inputmode"],
]) {
  test(`versions: in a template, ${feature} is found`, () => {
    assert.ok(found(addTemplate, "sample.html", text).features.has(feature));
  });
}

const SCRIPTS = [
  ["URL.canParse('/')", "api.URL.canParse_static"],
  ["globalThis.URL?.canParse?.('/')", "api.URL.canParse_static"],
  ["Promise.try(() => 1)", "javascript.builtins.Promise.try"],
  ["const { withResolvers } = Promise", "javascript.builtins.Promise.withResolvers"],
  ["new Map().keys().map(String)", "javascript.builtins.Iterator.map"],
  ["const set = new Set(); set.union(set)", "javascript.builtins.Set.union"],
  ["[1].values().toArray()", "javascript.builtins.Iterator.toArray"],
  ["document.moveBefore(document.body, null)", "api.Document.moveBefore"],
  ["/** @param {Response} one */ (one) => one.bytes()", "api.Response.bytes"],
  ["/** @param {Request} one */ ({ duplex }) => duplex", "api.Request.duplex"],
  ["(untyped) => untyped.setHTMLUnsafe('')", "api.Element.setHTMLUnsafe"],
  ["fetch('', { priority: 'high' })", "api.fetch.options_parameter.priority"],
  ["new CloseWatcher()", "api.CloseWatcher.CloseWatcher"],
  [
    "for (const type of ['scrollend']) addEventListener(type, String)",
    "api.Element.scrollend_event",
  ],
  ["document.body.onbeforematch = null", "api.Element.beforematch_event"],
  ["document.querySelector('p:open')", "css.selectors.open"],
];
const scripts = SCRIPTS.map(([text], number) => [resolve(`sample-${number}.js`), text]);
const inScripts = new Uses();
addInterfaces(
  inScripts,
  scripts.map(([file]) => file),
  Object.fromEntries(scripts),
);
for (const [number, [text, feature]] of SCRIPTS.entries()) {
  test(`versions: in a script, ${text} is found`, () => {
    const features = [...inScripts.features]
      .filter(([, files]) => files.has(scripts[number][0]))
      .flatMap(([paths]) => paths.split("|"));
    assert.ok(features.includes(feature), features.join(" "));
  });
}

for (const [text, feature] of [
  ["class A { static { } }", "classes.static.initialization_blocks"],
  ["class A { #b; c(d) { return #b in d } }", "classes.private_class_fields_in"],
  ["/(?<=a)b/", "regular_expressions.lookbehind_assertion"],
  ["await 1", "operators.await.top_level"],
  ["let a; a ??= 1", "operators.nullish_coalescing_assignment"],
]) {
  test(`versions: of syntax, ${text} is found`, () => {
    assert.ok(found(addSyntax, "sample.js", text).features.has(`javascript.${feature}`));
  });
}

for (const text of [
  "using a = b",
  "/[a--b]/v",
  "/(?i:a)/",
  "import a from 'b' with { type: 'json' }",
]) {
  test(`versions: syntax that is newer than the build's target is refused: ${text}`, () => {
    assert.throws(() => addSyntax(new Uses(), "sample.js", text), SyntaxError);
  });
}

test("versions: the minimum is that of the newest feature, and 17.10 is newer than 17.9", () => {
  const text = "p { color: light-dark(red, color-mix(in srgb, red, blue)) }";
  const uses = found(addStylesheet, "sample.css", text);
  const version = (feature) => since(`css.types.color.${feature}`, "Safari");
  assert.equal(uses.minimum().Safari, version("light-dark"));
  assert.equal(uses.minimum(["css.types.color.light-dark"]).Safari, version("color-mix"));
  assert.ok(compare("17.10", "17.9") > 0);
  assert.ok(compare("Infinity", "999") > 0);
});

test("versions: a part of a feature, one behind a flag and one under a prefix are no support", () => {
  assert.equal(since("css.properties.line-clamp", "Chrome"), "Infinity");
  assert.notEqual(since("css.properties.line-clamp@-webkit-", "Chrome"), "Infinity");
  assert.equal(since("api.HTMLElement.popover", "iOS"), "18.3"); // stayed open in 17
  assert.equal(since("api.CustomElementRegistry.get", "Safari"), "Infinity");
});
