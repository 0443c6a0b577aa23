// What stands in for an EventSource, over one client's stream.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { SseNotifyClient } from "../../sse_notify/js/client.js";
import { block, FakeClock, FakePage, FakeServer, json, note, settle, URLS } from "./support.mjs";

let clock, env, server, client, log;

const make = (options = {}) =>
  new SseNotifyClient({
    urls: URLS,
    cursor: 10,
    fetch: server.fetch,
    clock,
    random: () => 0.5,
    env,
    ...options,
  });

/** Note what a source tells: ["open"], ["error", readyState], [type, data, lastEventId]. */
function listen(source, ...types) {
  for (const type of ["open", "error"])
    source.addEventListener(type, () => log.push([type, source.readyState]));
  for (const type of types)
    source.addEventListener(type, ({ data, lastEventId }) => log.push([type, data, lastEventId]));
  return source;
}

/** The topics that the newest stream was asked for. */
const asked = () => server.requests.at(-1).query.topic ?? "";

beforeEach(() => {
  [clock, env, server, log] = [new FakeClock(), new FakePage(), new FakeServer(), []];
  server.routes["/state/"] = () => json({ cursor: 10, state_seq: null, unread: 0, unseen: 0 });
  client = make();
});

test("source: it opens the client's stream, and tells of what comes as an EventSource would", async () => {
  const source = listen(
    client.eventSource("room"),
    "message",
    "wall",
    "notification",
    "update",
    "remove",
    "hello",
    "ping",
  );
  assert.deepEqual(
    [source.readyState, source.CONNECTING, source.OPEN, source.CLOSED],
    [0, 0, 1, 2],
  );
  await clock.advance(1_000);
  assert.deepEqual([server.streams.length, asked()], [1, "room"]);
  await server.stream.hello();
  assert.deepEqual([log, source.readyState], [[["open", 1]], 1]);
  log = [];
  const update = { ids: [1], set: "read", state_seq: 12, unread: 0, unseen: 0, client: "" };
  await server.stream.send(
    `${note(11)}data: a\ndata: b\n\n${block("wall", { n: 1 })}${block("update", update, 12)}`,
  );
  assert.deepEqual(
    log.map(([type]) => type),
    ["notification", "message", "wall", "update"],
  );
  assert.equal(JSON.parse(log[0][1]).title, "Title 11");
  assert.deepEqual(log[1], ["message", "a\nb", "11"], "the last id that came, as ever");
  assert.deepEqual(log[2], ["wall", '{"n":1}', "11"]);
  assert.deepEqual([JSON.parse(log[3][1]).ids, source.lastEventId], [[1], "11"]);
});

test("source: handlers by property and listeners hear the same; one that throws harms nobody else", async (t) => {
  const report = t.mock.method(console, "error", () => {});
  const source = client.eventSource();
  source.onopen = ({ type }) => log.push(type);
  source.onerror = () => log.push(source.readyState);
  source.onmessage = (event) => {
    log.push([event.type, event.data, event.constructor.name]);
    throw new Error("a handler's fault");
  };
  const other = client.eventSource();
  other.addEventListener("message", () => log.push("other"));
  await settle();
  await server.stream.hello();
  await server.stream.send("data: 1\n\n");
  assert.deepEqual(log, ["open", ["message", "1", "MessageEvent"], "other"]);
  assert.equal(report.mock.callCount(), 1);
  await server.stream.cut();
  assert.deepEqual(log.at(-1), 0, "an error, and it is connecting again");
  await clock.advance(1_000);
  await server.stream.hello();
  assert.equal(log.at(-1), "open");
});

test("source: every try that fails is told, the first as well", async () => {
  server.routes["/stream/"] = () => json({}, { status: 503 });
  listen(client.eventSource("room"));
  await settle();
  assert.deepEqual(log, [["error", 0]]);
  await clock.advance(500);
  assert.deepEqual(log.splice(0), [
    ["error", 0],
    ["error", 0],
  ]);
  delete server.routes["/stream/"];
  await clock.advance(1_000);
  await server.stream.hello();
  await server.stream.cut();
  assert.deepEqual(log, [
    ["open", 1],
    ["error", 0],
  ]);
});

test("source: one that is made while the stream is open opens a moment later, when it is listened to", async () => {
  client.start();
  await settle();
  await server.stream.hello();
  const source = listen(client.eventSource());
  assert.deepEqual([source.readyState, log], [0, []]);
  await settle();
  assert.deepEqual([source.readyState, log, server.streams.length], [1, [["open", 1]], 1]);
});

test("source: its topics come over the one stream, asked for once for all that a page makes at a time", async () => {
  client = make({ topics: ["own"] });
  client.start();
  await settle();
  await server.stream.hello();
  const source = listen(client.eventSource("wall"), "message", "wall", "room", "other");
  listen(client.eventSource("room", "wall"), "message");
  await clock.advance(0);
  assert.equal(server.streams.length, 2);
  assert.deepEqual([asked(), server.streams[0].closed], ["own,wall,room", true]);
  assert.equal(server.requests.at(-1).query.cursor, "10", "it goes on from where it was");
  await server.stream.hello();
  log = [];
  await server.stream.send(block("wall", "<b>") + block("room", "r") + block("other", "o"));
  assert.deepEqual(log, [
    ["wall", "<b>", ""],
    ["message", "<b>", ""],
    ["message", "<b>", ""],
    ["room", "r", ""],
    ["message", "r", ""],
    ["other", "o", ""],
  ]);
  client.eventSource("room");
  await clock.advance(0);
  assert.equal(server.streams.length, 2, "nothing new");
  assert.equal(new URL(source.url).search, "?topic=wall");
});

test("source: of one name that several topics use, each hears its own topic's", async () => {
  const sources = [
    client.eventSource("order.5"),
    client.eventSource("order.6", "wall"),
    client.eventSource(),
  ];
  const told = [];
  client.on("event", ({ event, topic }) => told.push([event, topic]));
  await clock.advance(0);
  await server.stream.hello();
  const heard = sources.map((source) => {
    const events = [];
    for (const type of ["moved", "message"])
      source.addEventListener(type, ({ data }) => events.push([type, data]));
    return events;
  });
  await server.stream.send(
    "event: moved\ntopic: order.5\ndata: a\n\nevent: moved\ntopic: order.6\ndata: b\n\nevent: moved\ndata: c\n\n",
  );
  assert.deepEqual(told, [
    ["moved", "order.5"],
    ["moved", "order.6"],
    ["moved", undefined],
  ]);
  assert.deepEqual(
    heard.map((events) => events.map((event) => event.join(" ")).join(", ")),
    ["moved a, message a, moved c", "moved b, message b, moved c", "moved a, moved b, moved c"],
  );
});

test("source: a closed one tells nothing, not even the rest of what came at once, and its topics are asked for no more", async () => {
  const source = client.eventSource("wall");
  const other = listen(client.eventSource("room"), "message");
  source.addEventListener("wall", () => source.close());
  source.addEventListener("message", () => log.push("too late"));
  source.addEventListener("error", () => log.push("too late"));
  await clock.advance(0);
  await server.stream.hello();
  log = [];
  await server.stream.send(block("wall", "1") + block("wall", "2") + block("room", "3"));
  assert.deepEqual(log, [["message", "3", ""]]);
  assert.deepEqual([source.readyState, other.readyState, server.stream.closed], [2, 1, false]);
  await server.stream.cut();
  await clock.advance(1_000);
  assert.equal(asked(), "room");
  log = [];
  const never = listen(client.eventSource());
  never.close();
  await settle();
  assert.deepEqual([never.readyState, log], [2, []]);
});

test("source: a topic that is not this user's closes its source alone; the others and the bell go on without it", async () => {
  const { fetch } = server;
  server.fetch = async (url, init) => {
    const response = await fetch(url, init);
    return asked().includes("secret")
      ? json({ error: "forbidden", message: "No." }, { status: 403 })
      : response;
  };
  client = make();
  const states = [];
  client.on("state", ({ state }) => states.push(state));
  const good = listen(client.eventSource("wall"), "message");
  await settle();
  await server.stream.hello();
  log = [];
  const bad = client.eventSource("secret");
  bad.onerror = () => log.push(["refused", bad.readyState]);
  const plain = client.eventSource();
  await clock.advance(0);
  await server.stream.hello();
  assert.deepEqual(
    [bad, good, plain].map(({ readyState }) => readyState),
    [2, 1, 1],
  );
  assert.deepEqual(
    [asked(), client.state, states.includes("unauthorized")],
    ["wall", "open", false],
  );
  assert.deepEqual(log.findLast(([what]) => what === "refused")?.[1], 2);
  await server.stream.send(block("wall", "still here"));
  assert.deepEqual(log.at(-1), ["message", "still here", ""]);
});

test("source: of several, those alone end whose topic the server refuses, whenever they were asked for", async () => {
  const refused = new Set(["secret"]);
  const { fetch } = server;
  server.fetch = async (url, init) => {
    const response = await fetch(url, init);
    const topic = asked()
      .split(",")
      .find((name) => refused.has(name));
    return topic ? json({ error: "forbidden", message: "No.", topic }, { status: 403 }) : response;
  };
  client = make();
  const told = [];
  client.on("forbidden", ({ topics }) => told.push(topics));
  const sources = [["secret"], ["wall"], ["room", "wall"], ["news"]].map((topics) =>
    client.eventSource(...topics),
  );
  const states = () => sources.map(({ readyState }) => readyState);
  await clock.advance(0);
  await server.stream.hello();
  assert.deepEqual([states(), asked()], [[2, 1, 1, 1], "wall,room,news"]);
  // What was allowed is no more.
  refused.add("room");
  await server.stream.cut();
  await clock.advance(2_000);
  await server.stream.hello();
  assert.deepEqual([states(), asked()], [[2, 1, 2, 1], "wall,news"]);
  assert.deepEqual([told, client.state], [[["secret"], ["room", "wall"]], "open"]);
});

test("source: a topic of the client's own that is refused takes no other with it", async () => {
  server.routes["/stream/"] = () =>
    json({ error: "forbidden", message: "No.", topic: "own" }, { status: 403 });
  client = make({ topics: ["own"] });
  client.on("forbidden", () => log.push("forbidden"));
  client.eventSource("wall");
  await clock.advance(0);
  assert.deepEqual([log, client.state, server.requests.length], [[], "unauthorized", 1]);
});

test("source: what many ask for at once opens one stream", async () => {
  client.start();
  await settle();
  await server.stream.hello();
  for (const topic of ["a", "b", "c", "d"]) client.eventSource(topic);
  await clock.advance(1_000);
  assert.deepEqual([server.streams.length, asked()], [2, "a,b,c,d"]);
});

test("source: signed out, it is closed, and a new one asks nobody", async () => {
  const source = client.eventSource("wall");
  await clock.advance(0);
  await server.stream.hello();
  source.onerror = () => log.push(source.readyState);
  await server.stream.send(block("bye", { reason: "logout", retry_after: null }));
  assert.deepEqual([log, source.readyState, client.state], [[2], 2, "unauthorized"]);
  const before = server.requests.length;
  const again = client.eventSource("another");
  await clock.advance(600_000);
  assert.deepEqual([again.readyState, server.requests.length], [2, before]);
  client.stop();
  client.start(); // as after a new login
  await settle();
  assert.deepEqual([asked(), source.readyState], ["", 2]);
});

test("source: a user who may not listen to anything is signed out, whatever was asked for", async () => {
  server.routes["/stream/"] = () => json({ error: "forbidden", message: "No." }, { status: 403 });
  const source = client.eventSource("wall");
  await clock.advance(0);
  assert.deepEqual([source.readyState, client.state], [2, "unauthorized"]);
  const before = server.requests.length;
  await clock.advance(600_000);
  assert.equal(server.requests.length, before);
});
