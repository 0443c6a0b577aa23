// The cases of web-platform-tests' eventsource/format-*.any.js, and more, each in every way that a stream can be cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createParser } from "eventsource-parser";
import { BLOCK_END, BLOCK_MAX } from "../../sse_notify/js/limits.js";
import { EventStreamParser } from "../../sse_notify/js/parser.js";

const message = (data, id = null, event = "message") => ({ event, data, id });

/** name: [stream, events, last event id, reconnection times] */
const CASES = {
  "byte order mark": ["\ufeffdata: 1\n\n", [message("1")]],
  "two byte order marks": [
    "\ufeff\ufeffdata: 1\n\ndata: 2\n\ndata: 3\n\n",
    [message("2"), message("3")],
  ],
  "byte order mark later on": [
    "data: 1\n\n\ufeffdata: 2\n\ndata: \ufeff3\n\n",
    [message("1"), message("\ufeff3")],
  ],
  comments: [
    "data: 1\n:\0\n:\r\ndata: 2\n:x\rdata: 3\n:data: fail\n:x\ndata: 4\n\n",
    [message("1\n2\n3\n4")],
  ],
  "a comment alone": [":\n\n: ping\n\n", []],
  "no final blank line": ["retry: 1000\ndata: 1\n\nid: 9\ndata: lost", [message("1")], "", [1000]],
  data: ["data:\n\ndata\ndata\n\ndata:test\n\n", [message(""), message("\n"), message("test")]],
  event: ["event:test\ndata:x\n\ndata:x\n\n", [message("x", null, "test"), message("x")]],
  "empty event": ["event: \ndata:data\n\n", [message("data")]],
  "event without data": ["event: test\n\ndata: 1\n\n", [message("1")]],
  id: [
    "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
    [message("a", "1"), message("b"), message("c", "")],
    "",
  ],
  "id persists": ["id: 1\ndata: a\n\ndata: b\n\n", [message("a", "1"), message("b")], "1"],
  "id without data": ["id: 7\n\ndata: a\n\n", [message("a")], "7"],
  "id of a block that was cut": ["id: 7\ndata: a\n\ndata: b\nid: 8\n", [message("a", "7")], "7"],
  "id with NUL": ["id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [message("a", "1"), message("b")], "1"],
  "field names": [
    "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
    [message("\0\n 2\n1\n3\n\n4")],
  ],
  retry: ["retry: 1000\n\nretry:03000\ndata:x\n\n", [message("x")], "", [1000, 3000]],
  "retry that is none": [
    "retry:1000x\nretry\nretry:\nretry: -1\nretry: ١\ndata:x\n\n",
    [message("x")],
    "",
    [],
  ],
  "unknown field": [
    "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n",
    [message("test\n")],
  ],
  "leading space": ["data:\ttest\rdata: \ndata:test\n\n", [message("\ttest\n\ntest")]],
  "line ends": ["data:test\r\ndata\ndata:test\r\n\r\n\r", [message("test\n\ntest")]],
  "CR alone": ["data: 1\r\rid: 2\rdata: 2\r\r", [message("1"), message("2", "2")], "2"],
  CRLF: [
    "data: 1\r\n\r\nevent: e\r\ndata: 2\r\nid: 3\r\n\r\n",
    [message("1"), message("2", "3", "e")],
    "3",
  ],
  "CR before LF of the next line": ["data: 1\r\n\ndata: 2\n\r\n", [message("1"), message("2")]],
  "other line ends are text": [
    "data: a\u2028b\u2029c\u0085d\v\f\n\n",
    [message("a\u2028b\u2029c\u0085d\v\f")],
  ],
  "NUL in data": ["data:\0\n\n\n\n", [message("\0")]],
  "UTF-8": ["data:ok…😀é\n\n", [message("ok…😀é")]],
  "colon in the value": ["data: a: b:c\n\n", [message("a: b:c")]],
  "topic, a field of ours": [
    "event: moved\ntopic: order.5\ndata: 1\n\nevent: moved\ndata: 2\n\ntopic: order.6\n\ndata: 3\n\n",
    [
      { ...message("1", null, "moved"), topic: "order.5" },
      message("2", null, "moved"),
      message("3"),
    ],
  ],
  nothing: ["\n\n\n", []],
};

function read(chunks) {
  const events = [];
  const retries = [];
  const parser = new EventStreamParser(
    (event) => events.push(event),
    (ms) => retries.push(ms),
  );
  for (const chunk of chunks) parser.feed(chunk);
  return { events, retries, lastEventId: parser.lastEventId };
}

for (const [
  name,
  [stream, events, lastEventId = events.at(-1)?.id ?? "", retries = []],
] of Object.entries(CASES)) {
  test(`parser: ${name}`, () => {
    const expected = { events, retries, lastEventId };
    const bytes = new TextEncoder().encode(stream);
    assert.deepEqual(read([stream]), expected, "text");
    assert.deepEqual(read([bytes]), expected, "whole");
    assert.deepEqual(read([...bytes].map((byte) => Uint8Array.of(byte))), expected, "bytewise");
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), expected, `cut at ${at}`);
    }
  });
}

test("parser: the vectors agree with an independent parser", () => {
  for (const [name, [stream, events]] of Object.entries(CASES)) {
    if (["CR alone", "two byte order marks", "line ends"].includes(name)) continue; // it holds a last CR back, it differs on purpose
    const found = [];
    const parser = createParser({
      onEvent: ({ event, data }) => found.push({ event: event ?? "message", data }),
    });
    parser.feed(stream);
    assert.deepEqual(
      found,
      events.map(({ event, data }) => ({ event, data })),
      name,
    );
  }
});

test("parser: a line that ends with CR counts at once, without waiting for what comes next", () => {
  assert.equal(read(["data: 1\r\r"]).events.length, 1);
});

test("parser: bytes that are no UTF-8 become U+FFFD and harm nothing else", () => {
  const bytes = [...Buffer.from("data: "), 0xff, 0xc3, ...Buffer.from("\n\ndata: 2\n\n")];
  assert.deepEqual(
    read([Uint8Array.from(bytes)]).events.map(({ data }) => data),
    ["\ufffd\ufffd", "2"],
  );
});

test("parser: an event over the limit is refused at its end, with its id, and not kept in the memory", () => {
  const line = "x".repeat(BLOCK_MAX);
  const lines = Array(BLOCK_MAX / 1024 + 1).fill(`\ndata: ${"x".repeat(1024)}`);
  for (const large of [[`data: ${line}`], [`data: ${line}`, line, "\ndata"], lines, [`:${line}`]]) {
    for (const [end, eventId] of [
      [["\n\n"], null],
      [["\nid: 12345", "67890\n", "\n"], "1234567890"],
      [[..."\nevent: e\nid: 7\n\n"], "7"],
    ]) {
      assert.throws(() => read([...large, ...end]), { name: "RangeError", eventId });
    }
    assert.deepEqual(read(large).events, [], "its end may still come");
  }
});

test("parser: an event that does not end is refused", () => {
  const endless = Array(BLOCK_END / BLOCK_MAX + 1).fill("x".repeat(BLOCK_MAX));
  assert.throws(() => read(["data: ", ...endless]), { name: "RangeError", eventId: null });
  assert.throws(() => read(endless.map((text) => `data: ${text}\n`)), RangeError);
});

/** Cut a text into pieces of some length. */
const cut = (text, length) =>
  Array.from({ length: Math.ceil(text.length / length) }, (_, at) =>
    text.slice(at * length, (at + 1) * length),
  );

for (const [kind, line, lines] of [
  ["one line", "x", 1],
  ["many lines", "x", 1_000],
  ["a comment and a line", ":", 2],
]) {
  test(`parser: an event of ${kind} is read up to the limit and not beyond, wherever it is cut`, () => {
    for (const more of [0, 1]) {
      const length = Math.floor(BLOCK_MAX / lines);
      const fill = (n, of) => (of === ":" ? ":" : "data: ").padEnd(n, "x");
      const all = Array.from({ length: lines }, (_, at) => fill(length, at ? "x" : line));
      // A comment is no part of the event, but the parser holds it as well.
      if (line === ":") [all[0], all[1]] = [fill(BLOCK_MAX, ":"), fill(BLOCK_MAX + more - 5, "x")];
      else all[0] = fill(length + (BLOCK_MAX - length * lines) + more - 5, "x");
      const text = `data: 1\nid: 1\n\n${all.join("\n")}\nid: 2\n\n`;
      for (const size of [text.length, 65_536, 16_411, BLOCK_MAX + 1]) {
        const got = [];
        const parser = new EventStreamParser(({ id }) => got.push(id));
        const feed = () => {
          for (const chunk of cut(text, size)) parser.feed(chunk);
        };
        if (more) assert.throws(feed, { name: "RangeError", eventId: "2" }, `${size}`);
        else feed();
        assert.deepEqual(got, more ? ["1"] : ["1", "2"], `${size}`);
      }
    }
  });
}

test("parser: comments never add up to an event that is too large", () => {
  const comment = `:${"x".repeat(65_535)}\n`;
  assert.equal(read([...Array(40).fill(comment), "data: 1\n\n"]).events.length, 1);
});

test("parser: reading a megabyte in small pieces takes a time in proportion", () => {
  const { events } = read([
    ...Array(20_000).fill("data: 0123456789012345678901234567890123456789\n\n"),
  ]);
  assert.equal(events.length, 20_000);
});
