// Streams of one's own: each answer is a real Response whose body the test holds in its hands; time is the test's.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { loadFetch } from "../../sse_notify/js/loading.js";
import { fetchEventStream } from "../../sse_notify/js/streams.js";
import { block, FakeClock, FakeStream, json, settle } from "./support.mjs";

const URL_ = "https://site.test/ask/";
const RUN = "https://site.test/run/";
await loadFetch(); // so that time is the test's from the first call on
let clock, calls, streams, answers;

/** What stands in for `fetch`: the next of `answers`, or a stream that stays open. */
async function fetch(url, init) {
  calls.push({ url: String(url), ...init, headers: new Headers(init.headers) }); // as they are now
  init.signal?.throwIfAborted();
  const answer = answers.shift();
  if (answer) return answer();
  const stream = new FakeStream(init.signal);
  streams.push(stream);
  return new Response(stream.body, {
    headers: { "Content-Type": "text/event-stream; charset=utf-8" },
  });
}

/** Ask; what came is in `log`, and `outcome` is "pending" until it ends. */
function ask(options = {}, url = URL_) {
  const asked = { log: [], outcome: "pending" };
  const onEvent = (message) => asked.log.push(message.data);
  asked.done = fetchEventStream(url, { fetch, clock, random: () => 0.5, onEvent, ...options }).then(
    (id) => (asked.outcome = { id }),
    (error) => (asked.outcome = error),
  );
  return asked;
}

/** A page at an address, with a cookie and maybe a form. */
function page(t, href, cookie = "", field = null) {
  globalThis.location = new URL(href);
  const input = field && { value: field };
  globalThis.document = {
    baseURI: href,
    cookie,
    querySelector: (what) => (what === "sse-notify" ? null : input),
  };
  t.after(() => {
    delete globalThis.location;
    delete globalThis.document;
  });
}

beforeEach(() => {
  [clock, calls, streams, answers] = [new FakeClock(), [], [], []];
});

test("fetch: events come in order, and it resolves to the last id when the stream ends", async () => {
  const asked = ask();
  await settle();
  await streams[0].send(`${block("start", "1", 1)}${block("chunk", { n: 2 }, 2)}data: cut`);
  assert.deepEqual([asked.log, asked.outcome], [["1", '{"n":2}'], "pending"]);
  await streams[0].end();
  assert.deepEqual([asked.log, asked.outcome], [["1", '{"n":2}'], { id: "2" }]);
  assert.deepEqual(
    [calls[0].method, calls[0].body, calls[0].headers.get("Accept")],
    ["GET", null, "text/event-stream, */*;q=0.1"],
  );
});

test("fetch: a stream may be cut anywhere, in a character as well", async () => {
  const text = "\ufeffevent: é\r\ndata: 😀\r\ndata: ü\r\n\r\nid: 3\ndata: ok…\n\n";
  const bytes = new TextEncoder().encode(text);
  const expected = [
    { event: "é", data: "😀\nü", id: null },
    { event: "message", data: "ok…", id: "3" },
  ];
  const read = async (...chunks) => {
    const log = [];
    const body = new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    });
    answers = [() => new Response(body, { headers: { "Content-Type": "text/event-stream" } })];
    assert.equal(
      await fetchEventStream(URL_, { fetch, onEvent: (message) => log.push(message) }),
      "3",
    );
    return log;
  };
  assert.deepEqual(await read(bytes), expected, "whole");
  assert.deepEqual(
    await read(...[...bytes].map((byte) => Uint8Array.of(byte))),
    expected,
    "bytewise",
  );
  for (let at = 1; at < bytes.length; at++) {
    assert.deepEqual(
      await read(bytes.subarray(0, at), bytes.subarray(at)),
      expected,
      `cut at ${at}`,
    );
  }
});

test("fetch: an object or a list is posted as JSON, everything else as it is", async () => {
  const form = new FormData();
  const query = new URLSearchParams({ q: "1" });
  for (const [body, sent, type] of [
    [{ q: [1] }, '{"q":[1]}', "application/json"],
    [[1, "ü"], '[1,"ü"]', "application/json"],
    ["plain", "plain", null],
    [form, form, null],
    [query, query, null],
  ]) {
    calls = [];
    ask({ body });
    await settle();
    assert.deepEqual(
      [calls[0].method, calls[0].body, calls[0].headers.get("Content-Type")],
      ["POST", sent, type],
    );
  }
  ask({ body: {}, method: "PUT", headers: { "content-type": "application/vnd.x+json" } });
  await settle();
  assert.deepEqual(
    [calls[1].method, calls[1].headers.get("Content-Type")],
    ["PUT", "application/vnd.x+json"],
  );
});

test("fetch: headers of one's own go along, and so does all else that fetch understands", async () => {
  ask({
    headers: { Authorization: "Bearer t", Accept: "text/event-stream, application/json" },
    credentials: "include",
  });
  await settle();
  const [{ headers, credentials, cache }] = calls;
  assert.equal(headers.get("Authorization"), "Bearer t");
  assert.equal(headers.get("Accept"), "text/event-stream, application/json");
  assert.deepEqual([credentials, cache], ["include", "no-store"]);
});

test("fetch: Django's token goes along with what changes something, to the page's own site and nowhere else", async (t) => {
  const sent = async (url, options) => {
    calls = [];
    ask(options, url);
    await settle();
    const [{ headers, mode }] = calls;
    return [headers.get("X-CSRFToken"), mode];
  };
  const post = { body: {} };
  assert.deepEqual(
    await sent(URL_, { ...post, csrf: "x" }),
    [null, undefined],
    "no page, no site of its own",
  );
  page(t, "https://site.test/page/", "a=1; csrftoken=cookie; not_csrftoken=2", "field");
  for (const url of ["/ask/", "ask/", URL_, new URL(URL_)])
    assert.deepEqual(await sent(url, post), ["cookie", "same-origin"]);
  for (const method of ["GET", "head", "OPTIONS"])
    assert.deepEqual(await sent("/ask/", { method }), [null, undefined]);
  assert.equal((await sent("/ask/", { method: "delete" }))[0], "cookie");
  for (const url of [
    "https://other.test/",
    "http://site.test/",
    "https://site.test:8443/",
    "//other.test/ask/",
  ]) {
    assert.deepEqual(await sent(url, { ...post, csrf: "x" }), [null, undefined], url);
  }
  assert.deepEqual(
    await sent("/ask/", { ...post, csrf: "mine", mode: "cors" }),
    ["mine", "same-origin"],
    "whatever is asked for",
  );
  assert.equal((await sent("/ask/", { ...post, csrf: () => "asked" }))[0], "asked");
  assert.equal((await sent("/ask/", { ...post, csrf: () => null }))[0], null);
  assert.equal(
    (await sent("/ask/", { ...post, headers: { "x-csrftoken": "by hand" } }))[0],
    "by hand",
  );
  await sent("/ask/", { ...post, csrf: "mine", csrfHeader: "X-Ours" });
  assert.equal(calls[0].headers.get("X-Ours"), "mine");
  Object.assign(document, { cookie: "not_csrftoken=2" });
  assert.equal((await sent("/ask/", post))[0], "field", "where scripts cannot see the cookie");
});

test("fetch: a refusal rejects with its status, its code and how long to wait", async () => {
  answers = [
    () =>
      json(
        { error: "full", message: "No room." },
        { status: 503, headers: { "Retry-After": "7" } },
      ),
  ];
  const asked = ask();
  await settle();
  const { name, message, status, code, retryAfter } = asked.outcome;
  assert.deepEqual(
    [name, message, status, code, retryAfter],
    ["SseNotifyError", "No room.", 503, "full", 7_000],
  );
  answers = [() => new Response("<h1>Not found</h1>", { status: 404 })];
  const other = ask();
  await settle();
  assert.deepEqual([other.outcome.name, other.outcome.status], ["SseNotifyError", 404]);
  assert.equal(calls.length, 2, "nothing is tried again");
});

test("fetch: an answer of another type rejects, and is not read to its end", async () => {
  for (const type of [
    "text/html",
    "text/event-streaming",
    "application/json; text/event-stream",
    "",
  ]) {
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => (isCancelled = true) });
    answers = [() => new Response(body, { headers: type ? { "Content-Type": type } : {} })];
    const asked = ask({ resume: true });
    await settle();
    assert.deepEqual(
      [asked.outcome.name, asked.outcome.status, isCancelled],
      ["SseNotifyError", 200, true],
      type,
    );
  }
  for (const type of ["Text/Event-Stream", "text/event-stream ;charset=utf-8"]) {
    answers = [() => new Response("data: 1\n\n", { headers: { "Content-Type": type } })];
    const asked = ask();
    await asked.done;
    assert.deepEqual(asked.log, ["1"], type);
  }
  answers = [() => Object.defineProperty(new Response("<form>"), "redirected", { value: true })];
  const asked = ask();
  await asked.done;
  assert.equal(asked.outcome.status, 401, "led to the login page");
});

test("fetch: aborted at any moment it rejects with the signal's reason, and tells nothing more", async () => {
  for (const moment of [
    "before",
    "while connecting",
    "while reading",
    "in the middle of a chunk",
    "while waiting",
  ]) {
    [calls, streams] = [[], []];
    const controller = new AbortController();
    const log = [];
    const onEvent = ({ data }) => {
      log.push(data);
      if (moment === "in the middle of a chunk") controller.abort();
    };
    if (moment === "before") controller.abort();
    if (moment === "while connecting") {
      answers = [
        () =>
          new Promise((_, reject) =>
            controller.signal.addEventListener("abort", () => reject(controller.signal.reason)),
          ),
      ];
    }
    const errors = [];
    const onError = ({ name }) => errors.push(name);
    const one = ask({ signal: controller.signal, onEvent, onError, resume: true });
    await settle();
    if (!moment.endsWith("connecting") && moment !== "before")
      await streams[0].send(block("a", "1", 1) + block("a", "2"));
    if (moment === "while waiting") await streams[0].cut();
    const before = calls.length;
    controller.abort();
    await settle();
    assert.equal(one.outcome.name, "AbortError", moment);
    assert.deepEqual(
      [errors, clock.pending],
      [moment === "while waiting" ? ["TypeError"] : [], 0],
      moment,
    );
    assert.equal(
      log.length,
      { before: 0, "while connecting": 0, "in the middle of a chunk": 1 }[moment] ?? 2,
      moment,
    );
    assert.ok(
      streams.every(({ closed }) => closed),
      moment,
    );
    await clock.advance(600_000);
    assert.equal(calls.length, before, moment);
  }
});

test("fetch: what the caller throws ends the stream with just that", async () => {
  for (const handlers of [
    { onEvent: () => Promise.reject(new TypeError("my own")) },
    {
      onOpen: () => {
        throw new TypeError("my own");
      },
    },
  ]) {
    let isCancelled = false;
    const body = new ReadableStream({
      start: (controller) =>
        controller.enqueue(new TextEncoder().encode(block("a", "1", 1) + block("a", "2", 2))),
      cancel: () => (isCancelled = true),
    });
    answers = [() => new Response(body, { headers: { "Content-Type": "text/event-stream" } })];
    const asked = ask({ resume: true, ...handlers });
    await settle();
    assert.deepEqual([asked.outcome.message, isCancelled], ["my own", true]);
  }
  assert.equal(clock.pending, 0);
});

test("fetch: a listener that takes its time is waited for, and `false` says that it was the last", async () => {
  let release;
  let isCancelled = false;
  let pulled = 0;
  const body = new ReadableStream(
    {
      pull: (controller) =>
        controller.enqueue(new TextEncoder().encode(block("a", String(++pulled), pulled))),
      cancel: () => (isCancelled = true),
    },
    { highWaterMark: 0 },
  );
  answers = [() => new Response(body, { headers: { "Content-Type": "text/event-stream" } })];
  const heard = [];
  const asked = ask({
    onEvent: ({ data }) => {
      heard.push(data);
      return data === "3" ? false : new Promise((resolve) => (release = resolve));
    },
  });
  await settle();
  assert.deepEqual([heard, pulled], [["1"], 1], "the server is not asked for more meanwhile");
  release();
  await settle();
  release(true);
  await settle();
  assert.deepEqual([heard, asked.outcome, isCancelled], [["1", "2", "3"], { id: "3" }, true]);
});

test("fetch: without `resume` a broken stream rejects, and nothing is asked twice", async () => {
  const asked = ask({ body: {} });
  await settle();
  await streams[0].send(block("a", "1", 1));
  await streams[0].cut();
  await clock.advance(600_000);
  assert.deepEqual([asked.outcome.name, asked.log, calls.length], ["TypeError", ["1"], 1]);
});

test("fetch: with `resume` every event comes exactly once, wherever the stream is cut", async () => {
  const events = [1, 2, 3].map((n) => block("a", String(n), n));
  const text = events.join("");
  for (let at = 0; at <= text.length; at += 3) {
    [calls, streams] = [[], []];
    const asked = ask({ resume: true, lastEventId: "0" });
    await settle();
    await streams[0].send(text.slice(0, at));
    await streams[0].cut();
    await clock.advance(1_000);
    const from = Number(calls[1].headers.get("Last-Event-ID"));
    await streams[1].send(events.slice(from).join(""));
    assert.deepEqual(asked.log, ["1", "2", "3"], `cut at ${at}`);
  }
});

test("fetch: with `resume` it tries again after a random time that grows, and starts over when it gets on", async () => {
  const errors = [];
  const refused = () => {
    throw new TypeError("refused");
  };
  answers = [refused, refused, refused];
  const asked = ask({ resume: true, onError: (error) => errors.push(error.message) });
  await settle();
  for (const delay of [500, 1_000, 2_000]) {
    const before = calls.length;
    await clock.advance(delay - 1);
    assert.equal(calls.length, before, `before ${delay} ms`);
    await clock.advance(1);
    assert.equal(calls.length, before + 1, `after ${delay} ms`);
  }
  assert.deepEqual(errors, ["refused", "refused", "refused"]);
  await streams[0].send(block("a", "1", 1));
  await streams[0].cut();
  await clock.advance(500);
  assert.equal(calls.length, 5);
  await streams[1].send(block("a", "no id"));
  await streams[1].cut(); // it did not get on
  await clock.advance(999);
  assert.equal(calls.length, 5);
  await clock.advance(1);
  assert.deepEqual([calls.length, asked.log, asked.outcome], [6, ["1", "no id"], "pending"]);
  assert.equal(
    calls[5].headers.get("Last-Event-ID"),
    "1",
    "an event without an id changes nothing",
  );
});

test("fetch: with `resume` neither Retry-After nor retry: is undercut", async () => {
  answers = [() => json({}, { status: 429, headers: { "Retry-After": "5" } })];
  ask({ resume: true, random: () => 0 });
  await settle();
  await clock.advance(4_999);
  assert.equal(calls.length, 1);
  await clock.advance(1);
  assert.equal(calls.length, 2);
  await streams[0].send(`retry: 9000\n\n${block("a", "1", 1)}`);
  await streams[0].cut();
  await clock.advance(8_999);
  assert.equal(calls.length, 2);
  await clock.advance(1);
  assert.equal(calls.length, 3);
});

test("fetch: an empty id makes it forget the one before", async () => {
  for (const forgets of ["id:\n\n", "id\ndata: x\n\n", block("a", "y", "")]) {
    [calls, streams] = [[], []];
    ask({ resume: true, lastEventId: "7" });
    await settle();
    assert.equal(calls[0].headers.get("Last-Event-ID"), "7");
    await streams[0].send(`${block("a", "1", 8)}${forgets}`);
    await streams[0].cut();
    await clock.advance(1_000);
    assert.equal(calls[1].headers.get("Last-Event-ID"), null, JSON.stringify(forgets));
    await streams[1].send(block("a", "2", 9));
    await streams[1].cut();
    await clock.advance(1_000);
    assert.equal(calls[2].headers.get("Last-Event-ID"), "9");
  }
});

test("fetch: with `resume` a stream that ends goes on by its id; one without ids was all, and so is 204", async () => {
  const whole = ask({ resume: true });
  await settle();
  await streams[0].send(block("a", "1"));
  await streams[0].end();
  assert.deepEqual(whole.outcome, { id: "" });
  const asked = ask({ resume: true });
  await settle();
  await streams[1].send("id: é7\n\n"); // an id without an event counts as well
  await streams[1].end();
  answers = [() => new Response(null, { status: 204 })];
  await clock.advance(1_000);
  assert.deepEqual(asked.outcome, { id: "é7" });
  assert.equal(
    Buffer.from(calls.at(-1).headers.get("Last-Event-ID"), "latin1").toString(),
    "é7",
    "UTF-8, as browsers send it",
  );
});

test("fetch: with `resume` a final refusal is final, and a request that is none fails at once", async () => {
  for (const status of [400, 401, 403, 404, 410]) {
    answers = [() => json({}, { status })];
    const asked = ask({ resume: true });
    await settle();
    assert.equal(asked.outcome.status, status);
  }
  const before = calls.length;
  for (const [url, options] of [
    ["https://", {}],
    [URL_, { method: "B D" }],
    [URL_, { headers: { "bad name": "x" } }],
  ]) {
    const asked = ask({ resume: true, ...options }, url);
    await settle();
    assert.equal(asked.outcome.name, "TypeError");
  }
  assert.deepEqual([calls.length, clock.pending], [before, 0]);
});

test("fetch: an event that is too large ends it, even with `resume`", async () => {
  const asked = ask({ resume: true, lastEventId: "1" });
  await settle();
  await streams[0].send(`data: ${"x".repeat(1_048_577)}`);
  await streams[0].send("\n\n");
  assert.equal(asked.outcome.name, "RangeError");
});

const noContent = () => new Response(null, { status: 204 });
const gist = ({ method, url, body, headers }) => [
  method,
  url,
  body,
  headers.get("Last-Event-ID"),
  headers.get("Content-Type"),
];

test("fetch: with a URL to resume from, everything after the first request is a GET to it, whatever came of the first", async () => {
  const cut = (stream) => stream.cut();
  const end = (stream) => stream.end();
  for (const [how, sent, last] of [
    [cut, "", null],
    [cut, block("a", "1", 1), "1"],
    [cut, block("a", "no id"), null],
    [end, "", null],
    [end, ": ping\n\n", null],
    [end, block("a", "1", 1), "1"],
  ]) {
    for (const resume of [RUN, new URL(RUN), URL_]) {
      [calls, streams] = [[], []];
      const log = ask({ body: { q: 1 }, resume });
      await settle();
      await streams[0].send(sent);
      await how(streams[0]);
      await clock.advance(1_000);
      await streams[1].send(block("a", "2", 2));
      await streams[1].cut();
      answers = [noContent];
      await clock.advance(1_000);
      assert.deepEqual(
        calls.map(gist),
        [
          ["POST", URL_, '{"q":1}', null, "application/json"],
          ["GET", String(resume), null, last, null],
          ["GET", String(resume), null, "2", null],
        ],
        `${how} after ${JSON.stringify(sent)}`,
      );
      assert.deepEqual([log.log.at(-1), log.outcome], ["2", { id: "2" }]);
    }
  }
});

test("fetch: with a URL to resume from, a network that is lost before the answer is made up for there", async () => {
  answers = [
    () => {
      throw new TypeError("lost");
    },
  ];
  const errors = [];
  const run = ask({ body: "q", resume: RUN, onError: ({ message }) => errors.push(message) });
  await clock.advance(500);
  assert.deepEqual([calls[1].method, calls[1].url, errors], ["GET", RUN, ["lost"]]);
  await streams[0].send(block("a", "1", 1));
  assert.deepEqual(run.log, ["1"]);
});

test("fetch: with a URL to resume from, `lastEventId` says what is known already if the first request is lost", async () => {
  answers = [
    () => {
      throw new TypeError("lost");
    },
    noContent,
  ];
  const run = ask({ body: "q", resume: RUN, lastEventId: "7-65" });
  await clock.advance(500);
  assert.equal(calls[1].headers.get("Last-Event-ID"), "7-65");
  assert.deepEqual([run.log, run.outcome], [[], { id: "7-65" }]);
});

test("fetch: with a URL to resume from, what the server refuses to begin is not looked for there; what it refuses to show is", async () => {
  answers = [() => json({}, { status: 503 })];
  const refused = ask({ body: "q", resume: RUN });
  await settle();
  assert.deepEqual([refused.outcome.status, calls.length, clock.pending], [503, 1, 0]);
  answers = [() => json({}, { status: 503 }), () => json({}, { status: 503 }), noContent];
  const shown = ask({ resume: RUN });
  await clock.advance(10_000);
  assert.deepEqual([shown.outcome, calls.length], [{ id: "" }, 4]);
  answers = [() => json({}, { status: 404 })];
  const gone = ask({ resume: RUN });
  await settle();
  assert.equal(gone.outcome.status, 404);
});

test("fetch: with a URL to resume from, streams that end without ids and after events were all", async () => {
  const run = ask({ resume: RUN });
  await settle();
  await streams[0].end();
  await clock.advance(1_000);
  await streams[1].send(block("a", "no id"));
  await streams[1].end();
  assert.deepEqual([run.log, run.outcome], [["no id"], { id: "" }]);
});

test("fetch: with a URL to resume from, headers of one's own go along, and Django's token does not", async (t) => {
  page(t, "https://site.test/page/", "csrftoken=cookie");
  ask({ body: "q", resume: "https://other.test/run/", headers: { Authorization: "Bearer t" } });
  await settle();
  await streams[0].cut();
  await clock.advance(1_000);
  const [one, two] = calls;
  assert.deepEqual([one.headers.get("X-CSRFToken"), one.mode], ["cookie", "same-origin"]);
  assert.deepEqual([two.headers.get("X-CSRFToken"), two.mode], [null, undefined]);
  assert.equal(two.headers.get("Authorization"), "Bearer t");
});

test("fetch: a URL to resume from that is none fails at once", async () => {
  const run = ask({ body: "q", resume: "https://" });
  await settle();
  assert.deepEqual([run.outcome.name, calls.length], ["TypeError", 0]);
});

/** A `sessionStorage` for one test, over a map; with `fails`, each use of it throws. */
function storage(t, { fails = false, missing = false } = {}) {
  const kept = new Map();
  const use = (fn) => {
    if (fails) throw new DOMException("The operation is insecure.", "SecurityError");
    return fn();
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "sessionStorage");
  const value = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, text) => kept.set(key, `${text}`),
    removeItem: (key) => kept.delete(key),
  };
  const get = () => (missing ? undefined : use(() => value));
  Object.defineProperty(globalThis, "sessionStorage", { get, configurable: true });
  t.after(() => {
    if (before) Object.defineProperty(globalThis, "sessionStorage", before);
    else delete globalThis.sessionStorage;
  });
  return kept;
}

test("fetch: `resumeFrom` keeps the last id across a reload, for its key and for requests without a body", async (t) => {
  const kept = storage(t);
  const left = new AbortController();
  ask({ resumeFrom: "chat:1", body: "q", signal: left.signal });
  await settle();
  await streams[0].send(block("a", "1", 1) + block("a", "no id") + block("a", "2", 2));
  left.abort(); // the page is left
  await settle();
  assert.deepEqual([...kept], [["sse-notify:resume:chat:1", "2"]]);
  for (const [options, last] of [
    [{ resumeFrom: "chat:1" }, "2"],
    [{ resumeFrom: "chat:1", lastEventId: "1" }, "1"],
    [{ resumeFrom: "chat:2" }, null],
    [{}, null],
    [{ resumeFrom: "chat:1", body: "q" }, null],
    [{ resumeFrom: "chat:1" }, null], // the one before has begun another stream
  ]) {
    ask(options);
    await settle();
    assert.equal(calls.at(-1).headers.get("Last-Event-ID"), last, JSON.stringify(options));
  }
});

test("fetch: `resumeFrom` keeps an id once its event has been handled, and no sooner", async (t) => {
  const kept = storage(t);
  let release;
  ask({ resumeFrom: "k", onEvent: () => new Promise((resolve) => (release = resolve)) });
  await settle();
  await streams[0].send(block("a", "1", 1) + block("a", "2", 2));
  assert.deepEqual([...kept.values()], []);
  release();
  await settle();
  assert.deepEqual([...kept.values()], ["1"]);
});

test("fetch: `resumeFrom` forgets the id of a stream that is complete, and of one that takes it back", async (t) => {
  const kept = storage(t);
  const begin = async (options = {}) => {
    [calls, streams] = [[], []];
    const run = ask({ resumeFrom: "k", body: "q", ...options });
    await settle();
    await streams[0].send(block("a", "1", 1));
    assert.deepEqual([...kept.values()], ["1"]);
    return run;
  };
  await begin({ onEvent: ({ data }) => data !== "last" });
  await streams[0].send(block("a", "last", 2));
  assert.equal(kept.size, 0, "`onEvent` returned false");

  for (const resume of [true, RUN]) {
    const run = await begin({ resume });
    answers = [noContent];
    await streams[0].cut();
    await clock.advance(1_000);
    assert.deepEqual([run.outcome, kept.size], [{ id: "1" }, 0], "204");
  }

  await begin();
  await streams[0].end();
  assert.equal(kept.size, 1, "a stream that ends may have been cut");
  answers = [noContent];
  const rest = ask({ resumeFrom: "k" });
  await settle();
  assert.deepEqual([rest.outcome, kept.size], [{ id: "1" }, 0], "204 without `resume`");

  await begin();
  await streams[0].send("id:\n\n");
  assert.equal(kept.size, 0, "an empty id");
});

test("fetch: `resumeFrom` does without a storage that is missing or throws", async (t) => {
  for (const how of [{ missing: true }, { fails: true }]) {
    storage(t, how);
    for (const body of ["q", null]) {
      [calls, streams] = [[], []];
      const run = ask({ resumeFrom: "k", body, resume: true });
      await settle();
      await streams[0].send(block("a", "1", 1));
      answers = [noContent];
      await streams[0].cut();
      await clock.advance(1_000);
      assert.deepEqual([run.log, run.outcome], [["1"], { id: "1" }]);
    }
  }
});
