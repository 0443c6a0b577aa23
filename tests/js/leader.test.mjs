// Tabs of one browser, with Node's own locks and channels, which are those of the standards.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { SseNotifyClient } from "../../sse_notify/js/client.js";
import { block, FakeClock, FakePage, FakeServer, json, note, settle, URLS } from "./support.mjs";

let clock, server, tabs, number;

beforeEach(() => {
  [clock, server, tabs] = [new FakeClock(), new FakeServer(), []];
  number = (number ?? 0) + 1; // names of their own for each test
});

afterEach(async () => {
  for (const tab of tabs) await tab.close();
});

/** Wait until something holds: messages between tabs take a moment that nobody knows. */
async function until(condition, what = condition) {
  for (let turn = 0; turn < 20_000; turn++) {
    if (condition()) return;
    await new Promise(setImmediate);
  }
  assert.fail(`never happened: ${what}`);
}

/** Let what is on its way between the tabs arrive: a message through a channel of its own is no faster than they are. */
async function cross() {
  const [here, there] = [new BroadcastChannel("cross"), new BroadcastChannel("cross")];
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => {
      there.onmessage = resolve;
      here.postMessage(round);
    });
    await settle();
  }
  here.close();
  there.close();
}

class Tab {
  heard = [];
  resets = [];
  frozen = false;

  constructor(options = {}, isVisible = true) {
    this.env = new FakePage();
    this.env.isVisible = isVisible;
    this.env.locks = navigator.locks;
    this.env.channel = (name) => {
      const channel = new BroadcastChannel(name);
      // A frozen tab hears nothing.
      const gate = {
        postMessage: (message) => channel.postMessage(message),
        close: () => channel.close(),
        onmessage: null,
      };
      channel.onmessage = (event) => !this.frozen && gate.onmessage?.(event);
      return gate;
    };
    this.client = new SseNotifyClient({
      urls: URLS,
      key: `user-${number}`,
      cursor: 10,
      fetch: server.fetch,
      clock,
      random: () => 0.5,
      env: this.env,
      ...options,
    });
    this.client.on("notification", ({ seq }) => this.heard.push(seq));
    this.client.on("reset", (reset) => this.resets.push(reset));
    this.client.start();
    tabs.push(this);
  }

  async close() {
    await this.env.fire("pagehide");
    this.client.stop();
  }

  is(state) {
    return until(() => this.client.state === state, `${state}, but ${this.client.state}`);
  }
}

/** A tab that leads, and its stream, open. */
async function leader(options) {
  const tab = new Tab(options);
  const before = server.streams.length;
  await until(() => server.streams.length > before, "a stream");
  await server.stream.hello();
  await tab.is("open");
  return tab;
}

test("leader: all tabs of a browser have one stream, and hear the same", async () => {
  const first = await leader();
  const [second, third] = [new Tab(), new Tab()];
  await second.is("follower");
  await third.is("follower");
  await server.stream.send(note(11) + note(12) + block("wall", "hi"));
  await until(() => [first, second, third].every(({ heard }) => heard.length === 2));
  assert.equal(server.streams.length, 1);
  assert.deepEqual(
    [first, second, third].map(({ client }) => client.leading),
    [true, false, false],
  );
  assert.deepEqual(third.heard, [11, 12]);
  assert.deepEqual(second.client.counts, { unread: 2, unseen: 2 });
  assert.equal(second.client.cursor, 12);
});

test("leader: tabs that ask for the same topics share a stream with them, and their sources hear the same", async () => {
  const first = await leader();
  const second = new Tab();
  await second.is("follower");
  const heard = [];
  const sources = [first, second].map(({ client }, index) => {
    const source = client.eventSource("wall");
    source.onmessage = ({ data }) => heard.push([index, data]);
    return source;
  });
  await clock.advance(0);
  await until(
    () => server.requests.some(({ query }) => query.topic === "wall"),
    "a stream with the topic",
  );
  await cross();
  const open = server.streams.filter(({ closed }) => !closed);
  assert.equal(open.length, 1);
  await open[0].hello();
  await until(() => sources.every(({ readyState }) => readyState === 1), "both open");
  await open[0].send(block("wall", "hi") + note(11));
  await until(() => heard.length === 2 && second.heard.length === 1 && first.heard.length === 1);
  assert.deepEqual(heard.toSorted(), [
    [0, "hi"],
    [1, "hi"],
  ]);
});

test("leader: when it closes, another goes on from its own cursor; nothing is lost and nothing told twice", async () => {
  const first = await leader();
  const second = new Tab();
  await second.is("follower");
  await server.stream.send(note(11));
  await until(() => second.heard.length === 1);
  await first.close();
  await until(() => server.streams.length === 2, "a second stream");
  assert.equal(server.requests.at(-1).query.cursor, "11");
  await server.stream.hello({ cursor: 11, head: 12 });
  await server.stream.send(note(12));
  assert.deepEqual(second.heard, [11, 12]);
});

test("leader: one that is frozen is deposed by a tab that is seen, and closes its stream when it thaws", async () => {
  const first = await leader();
  const second = new Tab();
  await second.is("follower");
  first.frozen = true;
  second.env.isVisible = false;
  await second.env.fire("visibilitychange");
  await clock.advance(30_000);
  assert.equal(server.streams.length, 1, "a hidden tab steals nothing");
  await second.env.show(true);
  await clock.advance(2_000);
  await until(() => server.streams.length === 2, "the stream of the new leader");
  await until(() => server.streams[0].closed, "the end of the old one");
  first.frozen = false;
  await server.stream.hello();
  await first.env.fire("visibilitychange");
  await first.is("follower");
  await server.stream.send(note(11));
  await until(() => first.heard.length === 1);
  assert.deepEqual([first.heard, second.heard], [[11], [11]]);
});

test("leader: a healthy one is not deposed, however long a follower looks on", async () => {
  await leader();
  const second = new Tab();
  await second.is("follower");
  for (let round = 0; round < 5; round++) {
    await server.stream.send(": alive\n\n");
    await clock.advance(10_000); // the follower asks
    await cross();
  }
  assert.equal(server.streams.length, 1);
});

test("leader: one that is hidden and gave up goes on for a tab that is seen", async () => {
  const first = await leader();
  server.routes["/stream/"] = () => json({}, { status: 500 });
  await first.env.show(false);
  await server.stream.cut();
  await clock.advance(900_000);
  const before = server.requests.length;
  await clock.advance(600_000);
  assert.equal(server.requests.length, before);
  delete server.routes["/stream/"];
  const second = new Tab();
  await until(() => server.streams.length === 2, "a second stream");
  assert.equal(first.client.leading, true);
  await server.stream.hello();
  await second.is("follower");
});

test("leader: what it polls for reaches hidden tabs as well", async () => {
  const first = await leader();
  const second = new Tab({}, false);
  await second.is("follower");
  const item = (seq) => ({ id: 100 + seq, seq, title: "t", count: 1, unread: true, unseen: true });
  server.routes["/state/"] = () =>
    json({ cursor: 11, state_seq: null, unread: 1, unseen: 1, poll: 5 });
  server.routes["/items/"] = () =>
    json({ items: [item(11), item(10)], next: null, unread: 1, unseen: 1 });
  await server.stream.cut();
  await clock.advance(20_000);
  await first.is("polling");
  await until(() => second.heard.length === 1);
  assert.deepEqual([first.heard, second.heard, second.client.counts.unread], [[11], [11], 1]);
});

test("leader: a tab that opens later fetches what came between its page and its first message", async () => {
  const first = await leader();
  await server.stream.send(note(11) + note(12));
  const item = (seq) => ({ id: 100 + seq, seq, title: "t", count: 1, unread: true, unseen: true });
  server.routes["/state/"] = json({
    cursor: 12,
    state_seq: null,
    unread: 2,
    unseen: 2,
    poll: 5,
    csrf: "c",
  });
  let answer;
  server.routes["/items/"] = () => new Promise((resolve) => (answer = resolve));
  const late = new Tab({ cursor: 10, unread: 0, unseen: 0 });
  await until(() => answer, "a request for the items");
  await server.stream.send(note(13)); // while it fetches
  await until(() => first.heard.length === 3);
  await cross();
  assert.deepEqual(late.heard, [], "in order, or not at all");
  answer(
    json({ items: [item(13), item(12), item(11), item(9)], next: null, unread: 3, unseen: 3 }),
  );
  await until(() => late.heard.length === 3);
  assert.deepEqual(late.heard, [11, 12, 13]);
  assert.deepEqual(late.client.counts, { unread: 3, unseen: 3 });
  assert.equal(server.streams.length, 1);
});

test("leader: what was missed is fetched again if that fails; what came after it waits", async () => {
  const first = await leader();
  await server.stream.send(note(11));
  server.routes["/state/"] = () => json({}, { status: 500 });
  const errors = [];
  const late = new Tab({ cursor: 10 });
  late.client.on("error", (error) => errors.push(error));
  await until(() => errors.length === 1, "an error");
  await server.stream.send(note(12));
  await until(() => first.heard.length === 2);
  await cross();
  assert.deepEqual([late.heard, late.client.cursor], [[], 10]);
  server.routes["/state/"] = json({
    cursor: 12,
    state_seq: null,
    unread: 2,
    unseen: 2,
    poll: 5,
    csrf: "c",
  });
  const items = [12, 11].map((seq) => ({ id: 100 + seq, seq, title: "t", count: 1 }));
  server.routes["/items/"] = json({ items, next: null, unread: 2, unseen: 2 });
  await clock.advance(10_000);
  await until(() => late.heard.length === 2);
  assert.deepEqual(late.heard, [11, 12]);
});

test("leader: a tab that is opened in the background hears everything too", async () => {
  await leader();
  const hidden = new Tab({}, false);
  await hidden.is("follower");
  await server.stream.send(note(11));
  await until(() => hidden.heard.length === 1);
});

test("leader: a tab that missed more than a page starts over", async () => {
  await leader();
  await server.stream.send(block("ping", { cursor: 500 }));
  server.routes["/state/"] = json({
    cursor: 500,
    state_seq: null,
    unread: 490,
    unseen: 490,
    poll: 5,
    csrf: "c",
  });
  const items = Array.from({ length: 100 }, (_, i) => ({
    id: 1000 - i,
    seq: 500 - i,
    title: "t",
    count: 1,
  }));
  server.routes["/items/"] = json({ items, next: 901, unread: 490, unseen: 490 });
  const late = new Tab({ cursor: 10 });
  await until(() => late.resets.length === 1);
  assert.deepEqual(
    [late.resets, late.heard, late.client.cursor],
    [[{ reason: "too_many" }], [], 500],
  );
});

test("leader: the leader's trouble is shown in every tab, and a logout ends all of them", async () => {
  const first = await leader();
  const second = new Tab();
  await second.is("follower");
  await server.stream.cut();
  await first.is("waiting");
  await second.is("waiting");
  await clock.advance(1_000);
  await server.stream.hello();
  await second.is("follower");
  // Whether the second hears it first or is granted the lock first: it ends.
  server.routes["/stream/"] = () =>
    json({ error: "unauthenticated", message: "Sign in." }, { status: 401 });
  await server.stream.send(block("bye", { reason: "logout", retry_after: null }));
  await first.is("unauthorized");
  await second.is("unauthorized");
  assert.equal(server.streams.length, 2);
});

test("leader: every tab is told the status with which the leader's stream failed", async () => {
  const first = await leader();
  const second = new Tab();
  await second.is("follower");
  const told = [];
  second.client.on("state", ({ state, status }) => told.push([state, status]));
  server.routes["/stream/"] = () => json({}, { status: 404 });
  await server.stream.cut();
  await clock.advance(1_000);
  await first.is("waiting");
  delete server.routes["/stream/"];
  await clock.advance(60_000);
  await server.stream.hello();
  await second.is("follower");
  assert.ok(
    told.some(([state, status]) => state === "waiting" && status === 404),
    `${told}`,
  );
  assert.deepEqual(told.at(-1), ["follower", 0]);
});

test("leader: a tab opened after a new login is not held up by one that was signed out", async () => {
  const first = await leader();
  await server.stream.send(block("bye", { reason: "logout", retry_after: null }));
  await first.is("unauthorized");
  const second = await leader();
  assert.equal(second.client.state, "open");
});

test("leader: two users in one browser hear nothing of each other", async () => {
  const mine = await leader({ key: `a-${number}` });
  const [stream] = server.streams;
  const yours = await leader({ key: `b-${number}` });
  await stream.send(note(11));
  await server.stream.send(note(12));
  assert.deepEqual([mine.heard, yours.heard], [[11], [12]]);
});

test("leader: tabs with different topics do not share", async () => {
  await leader();
  await leader({ topics: ["order.5"] });
  assert.equal(server.streams.length, 2);
});

for (const [what, change] of [
  ["channels", (env) => (env.channel = () => assert.fail("forbidden"))],
  [
    "locks",
    (env) =>
      (env.locks = {
        request: () => Promise.reject(new DOMException("forbidden", "SecurityError")),
      }),
  ],
]) {
  test(`leader: a frame without ${what} has a stream of its own`, async () => {
    const env = new FakePage();
    env.locks = navigator.locks;
    env.channel = (name) => new BroadcastChannel(name);
    change(env);
    const client = new SseNotifyClient({
      urls: URLS,
      key: `user-${number}`,
      cursor: 10,
      fetch: server.fetch,
      clock,
      env,
    });
    client.start();
    await until(() => server.streams.length === 1, "a stream");
    await server.stream.hello();
    assert.equal(client.state, "open");
    client.stop();
  });
}
