// What stylesheets, templates and scripts use of a browser, in the paths of browser-compat-data, such
// as "css.types.color.light-dark", and since when browsers have it.
import data from "@mdn/browser-compat-data" with { type: "json" };
import { parse as parseScript } from "acorn";
import { parse as parseStyle, walk } from "css-tree";
import { SyntaxKind } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

/** The browsers that are named, each with those of the data that it stands for. */
export const BROWSERS = {
  Chrome: ["chrome", "chrome_android"],
  Edge: ["edge"],
  Firefox: ["firefox", "firefox_android"],
  Safari: ["safari"],
  iOS: ["safari_ios"],
};

const child = (tree, name) => (tree && Object.hasOwn(tree, name) ? tree[name] : undefined);
const isFeature = (path) => Boolean(path.split(".").reduce(child, data)?.__compat);

// Versions -----------------------------------------------------------------------------------------

/** Tell which version is newer, as `sort()` wants it: "17.10" is newer than "17.9". */
export function compare(one, other) {
  const [a, b] = [one, other].map((version) => version.split(".").map(Number));
  return a[0] - b[0] || (a[1] ?? 0) - (b[1] ?? 0) || 0;
}

export const newest = (versions) => [...versions].sort(compare).at(-1);

/**
 * Return the version since which a browser has the whole of a feature, "Infinity" if it has not.
 *
 * @param {string} feature A path, with "@-webkit-" behind it if its name has that prefix. Several
 *   paths, with "|" between them, mean that it is one of them, and nobody knows which.
 * @param {keyof typeof BROWSERS} browser
 */
export function since(feature, browser) {
  const one = (path, engine) => {
    const [place, prefix] = path.split("@");
    const { __compat: known } = place.split(".").reduce(child, data);
    return [known.support[engine] ?? []]
      .flat()
      .filter((support) => !support.flags && !support.alternative_name && support.prefix === prefix)
      .filter((support) => !support.partial_implementation && !support.version_removed)
      .map(({ version_added: version }) => String(version).replace("≤", ""))
      .filter((version) => /^\d/.test(version));
  };
  const paths = feature.split("|");
  const oldest = (engine) =>
    paths.flatMap((path) => one(path, engine)).sort(compare)[0] ?? "Infinity";
  return newest(BROWSERS[browser].map(oldest));
}

// What was found -----------------------------------------------------------------------------------

/** Collects the features that files use, and what they use that the data do not have. */
export class Uses {
  /** The files that use each feature. @type {Map<string, Set<string>>} */
  features = new Map();
  /** The same for what is in no data. @type {Map<string, Set<string>>} */
  unknown = new Map();

  /** Add the first of some paths that the data have, or else a name. */
  add(file, paths, name) {
    const path = paths.find((one) => one && isFeature(one.split(/[@|]/)[0]));
    const [to, what] = path ? [this.features, path] : [this.unknown, name];
    if (what) to.set(what, (to.get(what) ?? new Set()).add(file));
    return Boolean(path);
  }

  /** Return what has to be had of each browser for all features but some. */
  minimum(without = []) {
    const needed = [...this.features.keys()].filter((feature) => !without.includes(feature));
    return Object.fromEntries(
      Object.keys(BROWSERS).map((browser) => [
        browser,
        newest(["0", ...needed.map((feature) => since(feature, browser))]),
      ]),
    );
  }
}

// Stylesheets --------------------------------------------------------------------------------------

/** Where functions and units are: below the types that have them. @type {Map<string, string>} */
const types = new Map();
const lookInto = (tree, path) => {
  for (const [name, below] of Object.entries(tree)) {
    if (name.startsWith("__")) continue;
    if (below.__compat && !types.has(name)) types.set(name, `${path}.${name}`);
    lookInto(below, `${path}.${name}`);
  }
};
lookInto(data.css.types, "css.types");

/** @param {Uses} uses */
function addSelector(uses, file, { type, name, flags, children }) {
  const add = (path) => uses.add(file, [`css.selectors.${path}`], `selector ${path}`);
  if (type === "NestingSelector") add("nesting");
  else if (type === "AttributeSelector" && flags) add("attribute.case_insensitive_modifier");
  else if (type === "PseudoClassSelector" || type === "PseudoElementSelector") {
    add(name);
    if (name === "not" && children?.first.children.size > 1) add("not.selector_list");
    if (name.startsWith("nth-") && children?.first.selector) add("nth-child.of_syntax");
  }
}

/**
 * Add what a stylesheet uses.
 *
 * @param {Uses} uses
 * @param {string} file
 * @param {string} text
 */
export function addStylesheet(uses, file, text) {
  const add = (paths, name) => uses.add(file, paths, name);
  /** Split a vendor's prefix off: `["-webkit-box", "-webkit-", "box"]`. */
  const split = (name) => name.match(/^(-[a-z]+-)?(.+)$/);
  const onParseError = (error) => add([], `${error.message} (line ${error.line})`);
  walk(parseStyle(text, { onParseError }), function (node) {
    const { type, name, property, children, unit } = node;
    const of = `css.properties.${this.declaration?.property}`;
    if (type === "Atrule") add([`css.at-rules.${name}`], `@${name}`);
    else if (type === "FeatureRange") add(["css.at-rules.media.range_syntax"]);
    else if (type === "Feature")
      add([`css.at-rules.media.${name.replace(/^(min|max)-/, "")}`], `@media (${name})`);
    else if (type === "Declaration") {
      const [, prefix, plain] = split(property.startsWith("--") ? "custom-property" : property);
      const exact = `css.properties.${property}`;
      add([exact, `css.properties.${plain}${prefix ? `@${prefix}` : ""}`], property);
    } else if (!this.declaration) addSelector(uses, file, node);
    else if (type === "Identifier") {
      // Other names are those of old keywords, or the author's own.
      const [, prefix, plain] = split(name);
      const paths = [`${of}.${name}`, `css.types.global_keywords.${name}`];
      if (prefix) add([...paths, `${of}.${plain}@${prefix}`], `${of}: ${name}`);
      else add(paths);
    } else if (type === "Function") {
      add([`${of}.${name}`, types.get(name)], `${name}()`);
      if (name === "rgb" && !children.some(({ value }) => value === ","))
        add(["css.types.color.rgb.space_separated_parameters"]);
    } else if (type === "Dimension" && !["px", "s", "ms", "fr"].includes(unit)) {
      const [, kind] = unit.match(/^([dls])v/) ?? [];
      const size = { d: "dynamic", l: "large", s: "small" }[kind];
      const viewport = `css.types.length.viewport_percentage_units_${size}`;
      add([types.get(unit), viewport], `unit ${unit}`);
    }
  });
}

// Templates ----------------------------------------------------------------------------------------

/**
 * Add what a template uses: elements, attributes, and values that attributes may have.
 *
 * @param {Uses} uses
 * @param {string} file
 * @param {string} text
 */
export function addTemplate(uses, file, text) {
  const markup = text
    .replaceAll(/\{% comment %\}.*?\{% endcomment %\}|\{#.*?#\}|<!--.*?-->/gs, "")
    .replaceAll(/\{%.*?%\}|\{\{.*?\}\}/gs, " ");
  for (const [, tag, rest] of markup.matchAll(/<([a-z][\w-]*)((?:\s+[^\s=>"]+(?:="[^"]*")?)*)/g)) {
    const elements = [`html.elements.${tag}`, `svg.elements.${tag}`].filter(isFeature).slice(0, 1);
    if (!tag.includes("-")) uses.add(file, elements, `<${tag}>`);
    for (const [, name, value = ""] of rest.matchAll(/([^\s=>"]+)(?:="([^"]*)")?/g)) {
      if (/^(data|aria)-|^role$/.test(name)) continue;
      const places = [...elements, "html.global_attributes", "svg.global_attributes"];
      const paths = places.map((place) => `${place}.${name}`);
      const words = value.split(/\s+/).filter(Boolean);
      const values = words.flatMap((word) =>
        paths.flatMap((path) => [`${path}.${word}`, `${path}_${word}`]).filter(isFeature),
      );
      for (const path of values) uses.add(file, [path]);
      uses.add(file, paths, values.length ? undefined : `<${tag} ${name}>`);
    }
  }
}

// Scripts: syntax ----------------------------------------------------------------------------------

/** What is newer than ES2019. Acorn refuses what is newer than ES2022. */
const SYNTAX = {
  AssignmentExpression: ({ operator }) =>
    ({
      "??=": "operators.nullish_coalescing_assignment",
      "||=": "operators.logical_or_assignment",
      "&&=": "operators.logical_and_assignment",
    })[operator],
  AwaitExpression: (_, isInFunction) => !isInFunction && "operators.await.top_level",
  BinaryExpression: ({ left }) =>
    left.type === "PrivateIdentifier" && "classes.private_class_fields_in",
  ChainExpression: () => "operators.optional_chaining",
  ImportExpression: () => "operators.import",
  Literal: ({ bigint, raw, regex }) =>
    bigint
      ? "builtins.BigInt"
      : regex
        ? (/d/.test(regex.flags) && "builtins.RegExp.hasIndices") ||
          (/\(\?<[=!]/.test(regex.pattern) && "regular_expressions.lookbehind_assertion")
        : /^\d.*_/.test(raw) && "grammar.numeric_separators",
  LogicalExpression: ({ operator }) => operator === "??" && "operators.nullish_coalescing",
  MetaProperty: ({ meta }) => meta.name === "import" && "operators.import_meta",
  MethodDefinition: ({ key }) =>
    key.type === "PrivateIdentifier" && "classes.private_class_methods",
  PropertyDefinition: ({ key }) =>
    key.type === "PrivateIdentifier"
      ? "classes.private_class_fields"
      : "classes.public_class_fields",
  StaticBlock: () => "classes.static.initialization_blocks",
};

/**
 * Add the syntax that a script uses; throw a SyntaxError if it has newer syntax than ES2022.
 *
 * @param {Uses} uses
 * @param {string} file
 * @param {string} text
 */
export function addSyntax(uses, file, text) {
  const visit = (node, isInFunction = false) => {
    if (!node || typeof node !== "object") return;
    const path = SYNTAX[node.type]?.(node, isInFunction);
    if (path) uses.add(file, [`javascript.${path}`], path);
    const isInside = isInFunction || /Function/.test(node.type);
    for (const below of Object.values(node)) visit(below, isInside);
  };
  visit(parseScript(text, { ecmaVersion: 2022, sourceType: "module" }));
}

// Scripts: interfaces ------------------------------------------------------------------------------

/** Where TypeScript has another name, or none, for what the data describe. */
const CALLED = {
  ArrayIterator: "Iterator",
  Audio: "HTMLAudioElement.Audio",
  IteratorObject: "Iterator",
  MapIterator: "Iterator",
  ReadonlyArray: "Array",
  RequestInit: "fetch.options_parameter",
  SetIterator: "Iterator",
};

/** Features of interfaces by their last names. @type {Map<string, string[]>} */
const byName = new Map();
const collect = (tree, path) => {
  for (const [name, below] of Object.entries(tree)) {
    if (name.startsWith("__")) continue;
    const here = `${path}.${name}`;
    const plain = name.replace(/^(options|init)_(?=.*_parameter$)|_parameter$/g, "");
    if (below.__compat) byName.set(plain, [...(byName.get(plain) ?? []), here]);
    collect(below, here);
  }
};
collect(data.api, "api");
collect(data.javascript.builtins, "javascript.builtins");

/** Return the paths of any feature of this name, for where nobody knows of which it is. */
const anyOf = (name) => byName.get(name)?.join("|");

/** Return the paths that a name may have: of something global, or of an interface's member. */
function pathsOf(name, owner = "", isStatic = false) {
  const places = ["javascript.builtins", "javascript.builtins.Intl", "api"];
  if (!owner)
    return [...places, "api.Window", "api.EventTarget"].map(
      (place) => `${place}.${CALLED[name] ?? name}`,
    );
  const type = CALLED[owner] ?? owner.replace(/Constructor$/, "");
  const member = places.map((place) => `${place}.${type}.${name}`);
  if (isStatic) return [`api.${type}.${name}_static`, ...member];
  return [...member, `api.${type}.${name.replace(/^on/, "")}_event`];
}

/**
 * Add the globals, members, options, events and selectors that scripts use. TypeScript tells whose
 * they are.
 *
 * @param {Uses} uses
 * @param {string[]} files Their absolute paths.
 * @param {Record<string, string>} [samples] The text of files that do not exist.
 */
export function addInterfaces(uses, files, samples = {}) {
  const cwd = process.cwd();
  const config = `${cwd}/tests/js/tsconfig.features.json`; // a file that does not exist, either
  const compilerOptions = { target: "esnext", lib: ["esnext", "dom", "dom.iterable"] };
  const settings = { extends: "../../tsconfig.json", compilerOptions, files, include: [] };
  const texts = { ...samples, [config]: JSON.stringify({ ...settings, exclude: [] }) };
  const fs = { readFile: (path) => texts[path], fileExists: (path) => path in texts || undefined };
  const api = new API({ cwd, fs });
  try {
    const [project] = api.updateSnapshot({ openProjects: [config] }).getProjects();
    for (const file of files)
      addSource(uses, project.checker, project.program.getSourceFile(file), file);
  } finally {
    api.close();
  }
}

function addSource(uses, checker, source, file) {
  const add = (paths, name) => uses.add(file, paths, name);

  const isBrowsers = (symbol) =>
    symbol?.declarations.some(({ path }) => /\/lib\.[\w.]+\.d\.ts$/.test(path));

  /** Return the interfaces that an object may have, each before those that it extends. */
  const interfacesOf = (type) => {
    if (!type) return [];
    if (type.isUnionType() || type.isIntersectionType())
      return type.getTypes().flatMap(interfacesOf);
    const apparent = checker.getApparentType(type) ?? type;
    const own = apparent.isTypeReference() ? apparent.getTarget() : apparent;
    return [own.getSymbol()?.name, ...(own.getBaseTypes() ?? []).flatMap(interfacesOf)];
  };

  /** Add what is read of an object: `expression.name`, or `{ name } = expression`. */
  const addMember = (expression, type, name, symbol) => {
    if (!symbol) return add([anyOf(name)]);
    const owner = symbol.getParent()?.name;
    // Of the data of elements, every name is the project's own.
    if (!isBrowsers(symbol) || owner === "DOMStringMap" || /^\d/.test(name)) return;
    const subject = expression?.text ?? expression?.name?.text ?? ""; // `X`, or `globalThis.X`
    if (/^(globalThis|window|self)$/.test(subject)) return add(pathsOf(name), name);
    const owners = [owner, ...interfacesOf(type)].filter(Boolean);
    const paths = [
      ...(subject ? pathsOf(name, subject, true) : []),
      ...owners.flatMap((of) => pathsOf(name, of)),
      anyOf(name),
    ];
    const known = owner && !owner.startsWith("__") ? owner : subject; // types of constants have no name
    add(paths, `${known}.${name}`);
  };

  /** Whether an identifier stands for a value, and does not only name a part of something. */
  const isValue = (node) =>
    node.parent.name !== node &&
    node.parent.propertyName !== node &&
    node.parent.kind !== SyntaxKind.TypeReference;

  const VISITORS = {
    [SyntaxKind.PropertyAccessExpression]({ expression, name }) {
      const type = checker.getTypeAtLocation(expression);
      addMember(expression, type, name.text, checker.getSymbolAtLocation(name));
    },
    [SyntaxKind.ObjectBindingPattern](node) {
      const type = checker.getTypeAtLocation(node);
      for (const { propertyName, name, dotDotDotToken } of node.elements) {
        const { text } = propertyName ?? name;
        if (!text || dotDotDotToken) continue;
        const symbol = type && checker.getPropertyOfType(type, text);
        addMember(node.parent.initializer, type, text, symbol);
      }
    },
    [SyntaxKind.ObjectLiteralExpression](node) {
      const type = checker.getContextualType(node);
      const wanted = type && checker.getNonNullableType(type);
      for (const { name } of node.properties) {
        const symbol = wanted && name?.text && checker.getPropertyOfType(wanted, name.text);
        const owner = symbol?.getParent()?.name;
        if (owner && isBrowsers(symbol))
          add([...pathsOf(name.text, owner), anyOf(name.text)], `${owner}.${name.text}`);
      }
    },
    [SyntaxKind.NewExpression]({ expression: { text } }) {
      if (text) add([`api.${text}.${text}`]);
    },
    [SyntaxKind.Identifier](node) {
      const symbol = isValue(node) && checker.getSymbolAtLocation(node);
      if (symbol && isBrowsers(symbol) && !symbol.getParent()) add(pathsOf(node.text), node.text);
    },
    [SyntaxKind.StringLiteral]({ text, parent }) {
      const called = parent.expression?.name?.text ?? parent.expression?.text;
      const isLooped = parent.parent.kind === SyntaxKind.ForOfStatement; // often to add listeners
      if (isLooped || /^(addEventListener|on)$/.test(called)) add([anyOf(`${text}_event`)]);
      if (/^(querySelector(All)?|matches|closest)$/.test(called))
        walk(parseStyle(text, { context: "selectorList" }), (node) =>
          addSelector(uses, file, node),
        );
    },
  };

  const visit = (node) => {
    VISITORS[node.kind]?.(node);
    node.forEachChild(visit);
  };
  source.forEachChild(visit);
}
