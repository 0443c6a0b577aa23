import assert from "node:assert/strict";
import { test } from "node:test";
import { safeUrl, withQuery } from "../../sse_notify/js/urls.js";

const BASE = "https://site.test/inbox/?page=2";

test("urls: addresses of this site are allowed, relative or absolute", () => {
  assert.equal(safeUrl("/orders/5/", BASE), "https://site.test/orders/5/");
  assert.equal(safeUrl("?a=1#b", BASE), "https://site.test/inbox/?a=1#b");
  assert.equal(safeUrl("https://site.test/x", BASE), "https://site.test/x");
});

test("urls: nothing that runs, reads files or leaves http", () => {
  const hostile = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " \n\tjavascript:alert(1)",
    "java\nscript:alert(1)",
    "java\tscript:alert(1)",
    "\u0000javascript:alert(1)",
    "javascript&colon;alert(1)//https:",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://site.test/1",
    "filesystem:https://site.test/x",
    "view-source:https://site.test/",
    "ftp://site.test/",
    "mailto:a@site.test",
    "http://[broken",
  ];
  for (const url of hostile) {
    const safe = safeUrl(url, BASE, true);
    assert.ok(
      safe === "" || safe.startsWith("https://site.test/"),
      `${JSON.stringify(url)} became ${safe}`,
    );
  }
});

test("urls: other sites only when they are asked for", () => {
  const elsewhere = [
    "https://other.test/",
    "//other.test/",
    "\\\\other.test",
    "/\\other.test",
    "https:\\\\other.test",
    "http://site.test/",
    "https://site.test:8443/",
    "https://site.test.other.test/",
  ];
  for (const url of elsewhere) {
    assert.equal(safeUrl(url, BASE), "", url);
    assert.notEqual(safeUrl(url, BASE, true), "", url);
  }
});

test("urls: no user name that dresses up another address", () => {
  assert.equal(safeUrl("https://site.test@other.test/", BASE, true), "");
  assert.equal(safeUrl("https://me:secret@site.test/", BASE), "");
});

test("urls: what is no address is no link", () => {
  for (const nothing of ["", null, undefined]) assert.equal(safeUrl(nothing, BASE), "");
  assert.equal(safeUrl("/x"), "", "without a page there is nothing to be relative to");
});

test("urls: parameters are added to what is there, encoded, and empty ones left out", () => {
  assert.equal(
    withQuery("/s/", { cursor: 0, topic: ["a&b", "ü"], client: "" }),
    "/s/?cursor=0&topic=a%26b&topic=%C3%BC",
  );
  assert.equal(withQuery("/s/?x=1", { cursor: 5 }), "/s/?x=1&cursor=5");
  assert.equal(withQuery("/s/", { cursor: null, before: undefined }), "/s/");
});
