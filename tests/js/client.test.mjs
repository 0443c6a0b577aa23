import assert from "node:assert/strict";
import { createServer } from "node:http";
import { beforeEach, test } from "node:test";
import { SseNotifyClient } from "../../sse_notify/js/client.js";
import { systemClock } from "../../sse_notify/js/environment.js";
import { block, FakeClock, FakePage, FakeServer, json, note, settle, URLS } from "./support.mjs";

let clock, env, server, client, log;

/** A client that is open at cursor 10, its events in `log` as [type, value]. */
async function open(options = {}, hello = {}) {
  client = new SseNotifyClient({
    urls: URLS,
    cursor: 10,
    stateSeq: null,
    unread: 2,
    unseen: 1,
    csrf: () => "token",
    fetch: server.fetch,
    clock,
    random: () => 0.5,
    env,
    ...options,
  });
  log = [];
  for (const type of [
    "notification",
    "update",
    "remove",
    "counts",
    "state",
    "reset",
    "event",
    "error",
  ]) {
    client.on(type, (value) => log.push([type, value]));
  }
  client.start();
  await settle();
  await server.stream?.hello({ unread: 2, unseen: 1, ...hello });
}

const of = (type) => log.filter(([found]) => found === type).map(([, value]) => value);
const seqs = () => of("notification").map(({ seq }) => seq);

beforeEach(() => {
  [clock, env, server] = [new FakeClock(), new FakePage(), new FakeServer()];
  server.routes["/state/"] = () =>
    json({ cursor: 10, state_seq: null, unread: 7, unseen: 6, poll: 5, csrf: "fresh" });
});

test("client: it starts at the page's cursor, asks for its topics and names itself", async () => {
  await open({ topics: ["order.5", "wall"] });
  const { query } = server.requests[0];
  assert.deepEqual([query.cursor, query.topic, query.client], ["10", "order.5,wall", client.id]);
  assert.deepEqual(of("state").at(-1), { state: "open", since: clock.now(), status: 0 });
});

test("client: a state tells the status with which the stream failed, until it is open", async () => {
  const page = () => new Response("<h1>Shop</h1>", { headers: { "Content-Type": "text/html" } });
  const down = () => Promise.reject(new TypeError("Failed to fetch"));
  const refuse = (status) => () => json({}, { status });
  server.routes["/stream/"] = refuse(404);
  await open();
  for (const answer of [refuse(406), page, down, refuse(500)]) {
    server.routes["/stream/"] = answer;
    await clock.advance(60_000);
  }
  delete server.routes["/stream/"];
  await clock.advance(60_000);
  assert.equal(client.state, "polling", "the stream says nothing");
  const told = of("state").filter(({ state }) => state !== "connecting");
  const statuses = told.map(({ status }) => status);
  assert.deepEqual(
    statuses.filter((status, at) => status !== statuses[at - 1]),
    [404, 406, 200, 0, 500, 0],
  );
});

test("client: without a cursor it takes that of hello", async () => {
  await open({ cursor: null });
  assert.ok(!("cursor" in server.requests[0].query));
  assert.equal(client.cursor, 10);
});

test("client: what arrives is told once, counted once, and moves the cursor", async () => {
  await open();
  await server.stream.send(note(11, { body: "Hello" }) + note(12));
  await server.stream.send(note(12) + note(11));
  assert.deepEqual(seqs(), [11, 12]);
  assert.equal(of("notification")[0].body, "Hello");
  assert.equal(of("notification")[0].replayed, false);
  assert.deepEqual(client.counts, { unread: 4, unseen: 3 });
  assert.equal(client.cursor, 12);
});

test("client: what is replayed is in hello's counts already", async () => {
  await open({}, { cursor: 10, head: 12, unread: 4, unseen: 3 });
  await server.stream.send(note(11) + note(12) + note(13));
  assert.deepEqual(
    of("notification").map(({ replayed }) => replayed),
    [true, true, false],
  );
  assert.deepEqual(client.counts, { unread: 5, unseen: 4 });
});

test("client: a connection cut anywhere resumes where the last whole event was; every event arrives exactly once", async () => {
  const events = [note(11), note(12), note(13)];
  const stream = events.join("");
  for (let at = 0; at <= stream.length; at += 7) {
    server = new FakeServer();
    await open();
    await server.stream.send(stream.slice(0, at));
    await server.stream.cut();
    await clock.advance(1_000);
    const from = Number(server.asked("/stream/").at(-1).query.cursor);
    await server.stream.hello({ cursor: from, head: 13 });
    await server.stream.send(events.slice(from - 10).join(""));
    assert.deepEqual(seqs(), [11, 12, 13], `cut at ${at}`);
    client.stop();
  }
});

test("client: a cut between hello and the replay loses nothing", async () => {
  await open({}, { cursor: 10, head: 50 });
  await server.stream.cut();
  await clock.advance(1_000);
  assert.equal(server.asked("/stream/").at(-1).query.cursor, "10");
});

/** What the console was told of errors, instead of the terminal. */
function listenToConsole(t) {
  return t.mock.method(console, "error", () => {}).mock;
}

test("client: events that make no sense are passed over, each said once, and the list and the counts are fetched", async (t) => {
  const told = listenToConsole(t);
  await open();
  const broken = (seq) => block("notification", `{"id": 1${seq}, "seq": ${seq}, "tit`, seq);
  await server.stream.send(broken(11) + broken(12) + note(13) + broken(14));
  assert.deepEqual([seqs(), client.cursor, client.state], [[13], 14, "open"]);
  assert.deepEqual(of("reset"), Array(3).fill({ reason: "invalid" }));
  assert.deepEqual([of("error").length, told.callCount()], [3, 3]);
  await clock.advance(5_000);
  assert.deepEqual(client.counts, { unread: 7, unseen: 6 });
  // Another connection repeats what was passed over.
  await server.stream.send(broken(12) + broken(14));
  assert.deepEqual([client.cursor, told.callCount(), of("reset").length], [14, 3, 3]);
  assert.equal(server.asked("/stream/").length, 1);
});

test("client: an event that is too large for it is passed over, and its stream goes on after it", async (t) => {
  const told = listenToConsole(t);
  const large = [`event: notification\ndata: {"id": 111`, ...Array(40).fill("9".repeat(65_536))];
  for (const ending of ["\nid: 11\n\n", "\ndata: 1\nid: 11\n\n"]) {
    server = new FakeServer();
    server.routes["/state/"] = () => json({ cursor: 12, state_seq: null, unread: 7, unseen: 6 });
    await open();
    for (const chunk of large) await server.stream.send(chunk);
    for (const chunk of ending) await server.stream.send(chunk);
    assert.deepEqual([client.cursor, client.state], [11, "waiting"]);
    assert.deepEqual(of("reset"), [{ reason: "invalid" }]);
    assert.deepEqual(
      told.calls.map(({ arguments: [error, id] }) => [error.name, id]),
      [["RangeError", "11"]],
    );
    told.resetCalls();
    await clock.advance(1_000);
    assert.equal(server.asked("/stream/").at(-1).query.cursor, "11");
    await server.stream.hello({ cursor: 11, head: 11, unread: 3, unseen: 2 });
    await server.stream.send(note(12));
    assert.deepEqual([seqs(), client.state], [[12], "open"]);
    client.stop();
  }
});

test("client: an event that is too large and kept nowhere is left out, and nothing else", async () => {
  await open();
  await server.stream.send(`event: wall\ndata: ${"x".repeat(2_000_000)}`);
  await server.stream.send("\n\n");
  assert.deepEqual([client.cursor, client.state, of("reset")], [10, "waiting", []]);
  await clock.advance(1_000);
  assert.equal(server.asked("/stream/").at(-1).query.cursor, "10");
});

test("client: what only looks like a notification is passed over", async (t) => {
  listenToConsole(t);
  for (const data of [
    "null",
    "[]",
    "5",
    '"text"',
    { id: 1, seq: 11 },
    { id: 1, seq: 12, title: "t" },
    { id: "1", seq: 11, title: "t" },
  ]) {
    server = new FakeServer();
    await open();
    await server.stream.send(block("notification", data, 11));
    assert.deepEqual([seqs(), client.cursor, client.state], [[], 11, "open"], JSON.stringify(data));
    client.stop();
  }
});

test("client: what its user has muted is told and neither counted, unread nor unseen", async () => {
  await open();
  const { unread, unseen } = client.counts;
  await server.stream.send(note(11, { muted: true, silent: true }) + note(12));
  assert.deepEqual(
    of("notification").map(({ seq, unread, unseen }) => [seq, unread, unseen]),
    [
      [11, false, false],
      [12, true, true],
    ],
  );
  assert.deepEqual(client.counts, { unread: unread + 1, unseen: unseen + 1 });
});

test("client: an event named like a property of objects is an event like others", async () => {
  await open();
  await server.stream.send(block("constructor", "x") + block("__proto__", "y"));
  assert.deepEqual(
    of("event").map(({ event }) => event),
    ["constructor", "__proto__"],
  );
});

test("client: a notification under its own event name is a notification, and that event", async () => {
  await open();
  await server.stream.send(note(11).replace("event: notification", "event: order.paid"));
  assert.deepEqual(seqs(), [11]);
  assert.equal(of("event")[0].event, "order.paid");
});

test("client: what is published without a number is text, and moves nothing", async () => {
  await open();
  await server.stream.send(block("wall", "not { json") + block("wall", { n: 1 }));
  assert.deepEqual(
    of("event").map(({ data }) => data),
    ["not { json", '{"n":1}'],
  );
  assert.equal(client.cursor, 10);
});

test("client: a ping moves the cursor, never back", async () => {
  await open();
  await server.stream.send(block("ping", { cursor: 40 }) + block("ping", { cursor: 30 }));
  assert.equal(client.cursor, 40);
});

test("client: updates carry counts; those that share a number are all told", async () => {
  await open();
  const update = (ids, id) =>
    block("update", { ids, set: "read", state_seq: 11, unread: 1, unseen: 0, client: "x" }, id);
  await server.stream.send(update([1]) + update([2]) + update([3], 11));
  assert.deepEqual(
    of("update").map(({ ids }) => ids),
    [[1], [2], [3]],
  );
  assert.deepEqual(client.counts, { unread: 1, unseen: 0 });
  assert.equal(of("counts").length, 1, "counts that stay the same are no news");
  assert.equal(client.cursor, 11);
});

test("client: remove is told with its counts", async () => {
  await open();
  await server.stream.send(block("remove", { ids: [5], state_seq: 11, unread: 0, unseen: 0 }, 11));
  assert.deepEqual([of("remove")[0].ids, client.counts.unread, client.cursor], [[5], 0, 11]);
});

test("client: a remove for many users carries no counts; they are fetched", async () => {
  await open();
  await server.stream.send(block("remove", { ids: [5] }, 11) + block("remove", { ids: [6] }, 12));
  assert.deepEqual(
    of("remove").map(({ ids }) => ids),
    [[5], [6]],
  );
  assert.deepEqual([client.cursor, client.counts.unread], [12, 2]);
  server.routes["/state/"] = () => json({ cursor: 12, state_seq: null, unread: 1, unseen: 0 });
  await clock.advance(5_000);
  assert.deepEqual(client.counts, { unread: 1, unseen: 0 });
  assert.deepEqual([server.asked("/state/").length, of("reset")], [1, []]);
});

test("client: counts that were asked for before something arrived are asked for again", async () => {
  await open();
  let answer;
  server.routes["/state/"] = () => new Promise((resolve) => (answer = resolve));
  client.refresh();
  await clock.advance(2_000);
  await server.stream.send(note(11));
  answer(json({ cursor: 10, state_seq: null, unread: 2, unseen: 1 }));
  await settle();
  assert.deepEqual(client.counts, { unread: 3, unseen: 2 });
  await clock.advance(2_000);
  answer(json({ cursor: 11, state_seq: null, unread: 3, unseen: 2 }));
  await settle();
  assert.equal(server.asked("/state/").length, 2);
  assert.deepEqual(client.counts, { unread: 3, unseen: 2 });
});

test("client: counts that cannot be fetched are asked for again, until the client is stopped", async () => {
  await open();
  server.routes["/state/"] = () => json({}, { status: 503 });
  client.refresh();
  await clock.advance(2_000);
  assert.equal(of("error").length, 1);
  await server.stream.send(block("ping", { cursor: 10 }));
  await clock.advance(24_000);
  assert.equal(server.asked("/state/").length, 2);
  server.routes["/state/"] = () => json({ cursor: 10, state_seq: null, unread: 9, unseen: 9 });
  await server.stream.send(block("ping", { cursor: 10 }));
  await clock.advance(24_000);
  assert.deepEqual([server.asked("/state/").length, client.counts.unread], [3, 9]);
  server.routes["/state/"] = () => json({}, { status: 503 });
  client.refresh();
  await clock.advance(2_000);
  client.stop();
  assert.equal(clock.pending, 0);
});

test("client: a mark's answer that something overtook is not believed", async () => {
  await open();
  let answer;
  server.routes["/read/"] = () => new Promise((resolve) => (answer = resolve));
  server.routes["/state/"] = () => json({ cursor: 12, state_seq: 11, unread: 2, unseen: 1 });
  const marked = client.markRead([1]);
  await settle();
  await server.stream.send(note(12));
  answer(json({ unread: 1, unseen: 0 }));
  await marked;
  assert.deepEqual(client.counts, { unread: 3, unseen: 2 });
  await clock.advance(2_000);
  assert.deepEqual(client.counts, { unread: 2, unseen: 1 });
});

test("client: counts of an update that are older than those known are not taken", async () => {
  await open();
  server.routes["/state/"] = () => json({ cursor: 13, state_seq: 11, unread: 5, unseen: 5 });
  client.refresh();
  await clock.advance(2_000);
  const update = { ids: [1], set: "read", state_seq: 11, unread: 1, unseen: 1, client: "" };
  await server.stream.send(block("update", update, 11) + note(12) + note(13));
  assert.deepEqual(client.counts, { unread: 5, unseen: 5 });
  await server.stream.send(note(14));
  assert.deepEqual(client.counts, { unread: 6, unseen: 6 });
});

test("client: a hello that waited, as in a tab that thaws, undoes nothing newer", async () => {
  await open();
  await server.stream.send(note(11) + note(12));
  await server.stream.hello({ cursor: 10, head: 11, unread: 3, unseen: 2 });
  assert.deepEqual([client.counts, client.cursor], [{ unread: 4, unseen: 3 }, 12]);
});

test("client: another user's state is not for this page, nor is a login page", async () => {
  server.routes["/state/"] = () =>
    json({ cursor: 10, state_seq: null, unread: 99, unseen: 99, key: "somebody else" });
  await open({ key: "me" });
  client.refresh();
  await clock.advance(2_000);
  assert.deepEqual(
    [client.state, client.counts.unread, of("error")[0].status],
    ["unauthorized", 2, 401],
  );
  await open({ key: "" });
  server.routes["/items/"] = () =>
    Object.defineProperty(new Response("<h1>Sign in</h1>"), "redirected", { value: true });
  await assert.rejects(client.list(), { name: "SseNotifyError", status: 401 });
  assert.equal(client.state, "unauthorized");
});

test("client: a visitor's stream is not for this page, as when the session has ended and a topic is public", async () => {
  await open({ key: "me", topics: ["wall"] }, { key: null, cursor: 11, head: 11, unread: 0 });
  assert.deepEqual(
    [client.state, client.counts.unread, of("error")[0].status],
    ["unauthorized", 2, 401],
  );
  await clock.advance(3_600_000);
  assert.equal(server.asked("/stream/").length, 1);
  for (const hello of [{ key: "me" }, {}]) {
    await open({ key: "me" }, hello); // a server of before has no key in some answers
    assert.equal(client.state, "open");
    client.stop();
  }
  await open({ topics: ["wall"] }, { key: null });
  assert.equal(client.state, "open", "a page without a user");
});

test("client: another user's items, or a visitor's, are not for this page", async () => {
  for (const key of ["somebody else", null]) {
    server.routes["/items/"] = () => json({ items: [{ id: 1 }], next: null, key });
    await open({ key: "me" });
    await assert.rejects(client.list(), { name: "SseNotifyError", status: 401 });
    assert.equal(client.state, "unauthorized");
  }
  server.routes["/items/"] = () => json({ items: [{ id: 1 }], next: null, key: "me" });
  await open({ key: "me" });
  assert.equal((await client.list()).items.length, 1);
});

test("client: the answer to a mark of another user, who has signed in since, is not for this page", async () => {
  for (const path of ["/read/", "/unread/", "/seen/", "/archive/", "/unarchive/"]) {
    server.routes[path] = () => json({ unread: 99, unseen: 99, key: "somebody else" });
    await open({ key: "me" });
    const mark = {
      "/read/": () => client.markRead([1]),
      "/unread/": () => client.markUnread([1]),
      "/seen/": () => client.markSeen(1),
      "/archive/": () => client.archive([1]),
      "/unarchive/": () => client.unarchive([1]),
    }[path];
    await assert.rejects(mark(), { name: "SseNotifyError", status: 401 });
    assert.deepEqual([client.state, client.counts.unread], ["unauthorized", 2]);
  }
});

for (const key of ["", undefined, null]) {
  test(`client: a page that did not say whose it is (key ${key}) learns it from the first answer, and keeps to it`, async () => {
    const others = ["somebody else", null];
    // The first answer may be the stream's, the list's or the state's; so may the one of somebody else.
    const ways = {
      hello: (whose) => server.stream.hello({ key: whose }),
      async items(whose) {
        server.routes["/items/"] = () => json({ items: [{ id: 1 }], next: null, key: whose });
        await client.list().catch(() => {});
      },
      async state(whose) {
        server.routes["/state/"] = () =>
          json({ cursor: 10, state_seq: null, unread: 9, unseen: 9, key: whose });
        client.refresh();
        await clock.advance(2_000);
      },
    };
    for (const first of Object.values(ways)) {
      for (const second of Object.values(ways)) {
        for (const other of others) {
          await open({ key });
          await first("me");
          await second("me");
          assert.equal(client.state, "open");
          await second(other);
          assert.equal(client.state, "unauthorized");
          client.stop();
          server.routes["/items/"] = () => json({ items: [{ id: 2 }], next: null, key: other });
          await assert.rejects(client.list(), { status: 401 });
        }
      }
    }
  });
}

test("client: a page of a visitor learns who has signed in since, and lists nobody else's items after that", async () => {
  await open({ topics: ["wall"] }, { key: null });
  await server.stream.hello({ key: null });
  server.routes["/items/"] = () => json({ items: [], next: null, key: "me" });
  await client.list();
  assert.equal(client.state, "open");
  await server.stream.hello({ key: null });
  assert.equal(client.state, "unauthorized");
});

test("client: every request stays on its origin, unless the project's own fetch says otherwise", async () => {
  server.routes["/items/"] = () => json({ items: [], next: null });
  server.routes["/read/"] = () => json({ unread: 0, unseen: 0 });
  const ask = async (fetch) => {
    await open({ fetch });
    client.refresh();
    await clock.advance(2_000);
    await client.list();
    await client.markRead([1]);
    client.stop();
    return server.requests.splice(0).map(({ path, mode }) => `${path} ${mode}`);
  };
  const paths = ["/stream/", "/state/", "/items/", "/read/"];
  assert.deepEqual(
    await ask(server.fetch),
    paths.map((path) => `${path} same-origin`),
  );
  assert.deepEqual(
    await ask((url, init) => server.fetch(url, { ...init, mode: "cors" })),
    paths.map((path) => `${path} cors`),
  );
});

test("client: a redirect to another origin gets no token and no mark, whatever its status", async (t) => {
  const listen = async (answer) => {
    const http = createServer(answer);
    t.after(() => http.close());
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${http.address().port}`;
  };
  const stolen = [];
  const elsewhere = await listen(({ headers }, response) => {
    stolen.push(headers);
    response.end("{}");
  });
  let status;
  const site = await listen((_, response) =>
    response.writeHead(status, { Location: `${elsewhere}/` }).end(),
  );
  const urls = Object.fromEntries(Object.keys(URLS).map((name) => [name, `${site}/${name}/`]));
  for (status of [301, 302, 303, 307, 308]) {
    client = new SseNotifyClient({ urls, csrf: () => "token" });
    await assert.rejects(client.markRead([1]), TypeError);
    await assert.rejects(client.list(), TypeError);
  }
  assert.deepEqual(stolen, []);
});

test("client: a tab that cannot share has the stream itself", async () => {
  await open();
  assert.equal(client.leading, true);
});

test("client: a repeat of an item that is unread for certain changes no count and asks nobody", async () => {
  await open();
  await server.stream.send(
    note(11) + note(12, { id: 111, count: 2 }) + note(13, { id: 111, count: 3 }),
  );
  await clock.advance(5_000);
  assert.deepEqual(client.counts, { unread: 3, unseen: 2 });
  assert.equal(server.asked("/state/").length, 0);
});

test("client: a repeat of an item that may have been read asks the server, once for many", async () => {
  await open();
  await server.stream.send(note(11, { count: 2 }) + note(12, { count: 5 }));
  await clock.advance(5_000);
  assert.equal(server.asked("/state/").length, 1);
  assert.deepEqual(client.counts, { unread: 7, unseen: 6 });
});

test("client: reset takes the server's cursor, even a smaller one, and fetches the counts", async () => {
  await open({}, { cursor: 4, head: 4 });
  await server.stream.send(block("reset", { reason: "ahead", cursor: 4 }, 4));
  assert.deepEqual(of("reset"), [{ reason: "ahead" }]);
  assert.equal(client.cursor, 4);
  await clock.advance(5_000);
  assert.deepEqual(client.counts, { unread: 7, unseen: 6 });
  await server.stream.send(note(5));
  assert.deepEqual(seqs(), [5]);
});

test("client: a change of the inbox that it missed makes it reset; one that it heard of does not", async () => {
  await open({ stateSeq: 8 }, { state_seq: 8 });
  assert.deepEqual(of("reset"), []);
  await server.stream.send(
    block("update", { ids: [1], set: "read", state_seq: 11, unread: 1, unseen: 1, client: "" }, 11),
  );
  await server.stream.cut();
  await clock.advance(1_000);
  await server.stream.hello({ cursor: 11, head: 11, state_seq: 11 });
  assert.deepEqual(of("reset"), []);
  await server.stream.cut();
  await clock.advance(2_000);
  await server.stream.hello({ cursor: 11, head: 20, state_seq: 17 });
  assert.deepEqual(of("reset"), [{ reason: "state" }]);
});

test("client: marks are posted with the token and the page's name, and their answer is the new counts", async () => {
  for (const name of ["read", "unread", "seen", "archive", "unarchive"])
    server.routes[`/${name}/`] = () => json({ unread: 1, unseen: 0 });
  await open({ csrfHeader: "X-My-Token" });
  await server.stream.send(note(11));
  assert.deepEqual(await client.markRead([1, 2]), { unread: 1, unseen: 0 });
  await client.markUnread([3]);
  await client.archive([4]);
  await client.unarchive([4]);
  await client.markSeen(9);
  await client.markSeen();
  await client.markAllRead();
  const posts = server.requests.filter(({ method }) => method === "POST");
  assert.deepEqual(
    posts.map(({ path, body: { client: _, ...what } }) => [path, what]),
    [
      ["/read/", { ids: [1, 2] }],
      ["/unread/", { ids: [3] }],
      ["/archive/", { ids: [4] }],
      ["/unarchive/", { ids: [4] }],
      ["/seen/", { up_to: 9 }],
      ["/seen/", { up_to: 11 }],
      ["/read/", { up_to: 11 }],
    ],
  );
  assert.ok(
    posts.every(
      ({ headers, body }) => headers.get("X-My-Token") === "token" && body.client === client.id,
    ),
  );
  assert.ok(posts.every(({ headers }) => headers.get("Content-Type") === "application/json"));
  assert.deepEqual(client.counts, { unread: 1, unseen: 0 });
});

test("client: a token of before a login in another tab is replaced, once", async () => {
  server.routes["/read/"] = ({ headers }) =>
    headers.get("X-CSRFToken") === "fresh"
      ? json({ unread: 0, unseen: 0 })
      : new Response("<h1>403</h1>", { status: 403 });
  await open();
  await client.markRead([1]);
  assert.equal(server.asked("/read/").length, 2);
  await client.markRead([2]);
  assert.equal(server.asked("/read/").length, 3, "the new one is kept");
  server.routes["/read/"] = () => new Response("", { status: 403 });
  await assert.rejects(client.markRead([3]), { name: "SseNotifyError", status: 403 });
  assert.equal(server.asked("/read/").length, 5);
});

test("client: a mark that fails says why and changes nothing", async () => {
  server.routes["/read/"] = () =>
    json({ error: "invalid", message: "A list of ids is needed.", field: "ids" }, { status: 400 });
  await open();
  await assert.rejects(client.markRead([1]), {
    message: "A list of ids is needed.",
    code: "invalid",
    status: 400,
  });
  assert.deepEqual(client.counts, { unread: 2, unseen: 1 });
});

test("client: a page of the inbox", async () => {
  server.routes["/items/"] = json({ items: [], next: null, unread: 2, unseen: 1 });
  await open();
  assert.deepEqual(await client.list({ before: 50, state: "unread", category: "", limit: 5 }), {
    items: [],
    next: null,
    unread: 2,
    unseen: 1,
  });
  assert.deepEqual(server.asked("/items/")[0].query, { before: "50", state: "unread", limit: "5" });
});

test("client: 401 anywhere closes the stream; nothing more is asked", async () => {
  server.routes["/items/"] = json(
    { error: "unauthenticated", message: "Sign in." },
    { status: 401 },
  );
  await open();
  await assert.rejects(client.list(), { status: 401 });
  assert.equal(client.state, "unauthorized");
  assert.ok(server.stream.closed);
  const before = server.requests.length;
  await clock.advance(3_600_000);
  assert.equal(server.requests.length, before);
});

test("client: another user's hello is not for this page", async () => {
  await open({ key: "me" }, { key: "somebody else", unread: 99 });
  assert.equal(client.state, "unauthorized");
  assert.deepEqual(client.counts, { unread: 2, unseen: 1 });
});

test("client: a listener that throws harms neither the stream nor the others; one that stops listening hears no more", async (t) => {
  const report = t.mock.method(console, "error", () => {});
  await open();
  client.on("notification", () => {
    throw new Error("a listener's fault");
  });
  const heard = [];
  const off = client.on("notification", ({ seq }) => heard.push(seq));
  await server.stream.send(note(11));
  off();
  await server.stream.send(note(12));
  assert.deepEqual([heard, seqs(), client.state], [[11], [11, 12], "open"]);
  assert.equal(report.mock.callCount(), 2);
});

test("client: stop and start go on from where it was", async () => {
  await open();
  await server.stream.send(note(11));
  client.stop();
  assert.equal(client.state, "stopped");
  assert.equal(clock.pending, 0);
  client.start();
  await settle();
  assert.equal(server.asked("/stream/").at(-1).query.cursor, "11");
});

test("client: a page that is put away closes its stream, and goes on when Back brings it", async () => {
  await open();
  await env.fire("pagehide");
  assert.ok(server.stream.closed);
  assert.equal(client.state, "idle");
  await env.fire("pageshow", { persisted: false });
  assert.equal(server.streams.length, 1);
  await env.fire("pageshow", { persisted: true });
  assert.equal(server.streams.length, 2);
});

test("client: where tabs cannot share, a hidden page lets its stream go after ten seconds", async () => {
  await open();
  await env.show(false);
  await clock.advance(5_000);
  await env.show(true);
  await clock.advance(60_000);
  await server.stream.hello();
  await env.show(false);
  await clock.advance(10_000);
  assert.equal(client.state, "idle");
  assert.ok(server.streams.every(({ closed }) => closed));
  await env.show(true);
  assert.equal(client.state, "connecting");
});

test("client: one that is not to share keeps its stream when hidden", async () => {
  await open({ share: false });
  await env.show(false);
  await clock.advance(20_000);
  assert.equal(client.state, "open");
});

test("client: a stream that is held back on its way is replaced by asking, until it flows", async () => {
  server.routes["/state/"] = () =>
    json({ cursor: 12, state_seq: null, unread: 4, unseen: 3, poll: 5, csrf: "c" });
  const item = (seq) => ({ id: 100 + seq, seq, title: "t", count: 1, unread: true, unseen: true });
  server.routes["/items/"] = () =>
    json({ items: [item(12), item(11), item(10)], next: null, unread: 4, unseen: 3 });
  await open({}, {});
  await server.stream.cut();
  await clock.advance(500); // connected again, and nothing comes
  await clock.advance(15_000);
  assert.equal(client.state, "polling");
  assert.deepEqual(seqs(), [11, 12]);
  assert.deepEqual(client.counts, { unread: 4, unseen: 3 });
  await clock.advance(10_000);
  assert.deepEqual(seqs(), [11, 12]);
  await server.stream.hello({ cursor: 12, head: 12, unread: 4, unseen: 3 });
  await server.stream.send(note(13));
  assert.deepEqual(
    [seqs(), client.state],
    [[11, 12, 13], "polling"],
    "what came late tells nothing of what comes next",
  );
  const before = server.streams.length;
  for (let minute = 0; minute < 6; minute++) {
    await server.stream.send(block("ping", { cursor: 13 }));
    await clock.advance(11_000);
  }
  assert.equal(server.streams.length, before + 1, "a new one is tried after a minute");
  await server.stream.hello({ cursor: 13, head: 13, unread: 5, unseen: 4 });
  const asked = server.asked("/state/").length;
  await clock.advance(20_000);
  assert.deepEqual([seqs(), client.state, client.counts.unread], [[11, 12, 13], "open", 5]);
  assert.equal(server.asked("/state/").length, asked);
});

test("client: whatever a server says of the time between two questions, they are five seconds apart", async () => {
  for (const poll of ["soon", null, -1, 0, {}, [], true, "1e-9"]) {
    let asked = 0;
    [clock, env, server] = [new FakeClock(), new FakePage(), new FakeServer()];
    server.routes["/state/"] = () =>
      // Without an end to it, the clock would not come to its end.
      ++asked > 50
        ? new Promise(() => {})
        : json({ cursor: 10, state_seq: null, unread: 2, unseen: 1, poll });
    await open();
    await server.stream.cut();
    await clock.advance(20_000);
    assert.equal(client.state, "polling");
    asked = 0;
    await clock.advance(20_000);
    assert.ok(asked > 2 && asked <= 4, `${JSON.stringify(poll)}: ${asked}`);
    client.stop();
  }
});

test("client: no timer is longer than a browser has them, which would fire at once", () => {
  for (const ms of [2 ** 31 - 1, 2 ** 31, 2 ** 40, 1e300, Infinity]) {
    const timer = systemClock.setTimeout(() => {}, ms);
    assert.equal(timer._idleTimeout, 86_400_000, `${ms}`);
    systemClock.clearTimeout(timer);
  }
});

test("client: what it has to fetch is as the server says it is, and counted as the server counts it", async () => {
  server.routes["/state/"] = () =>
    json({ cursor: 13, state_seq: 13, unread: 3, unseen: 1, poll: 5, csrf: "c" });
  const item = (seq, unread, unseen) => ({
    id: 100 + seq,
    seq,
    title: "t",
    count: 1,
    unread,
    unseen,
  });
  const items = [item(13, true, true), item(12, false, false), item(11, true, false)];
  server.routes["/items/"] = () => json({ items, next: null, unread: 3, unseen: 1 });
  await open();
  await server.stream.cut();
  await clock.advance(15_500);
  assert.deepEqual(
    of("notification").map(({ seq, unread, unseen }) => [seq, unread, unseen]),
    [
      [11, true, false],
      [12, false, false],
      [13, true, true],
    ],
  );
  assert.deepEqual(client.counts, { unread: 3, unseen: 1 });
  // Of a repeat of what was read elsewhere, only the server knows what it makes of the counts.
  const asked = server.asked("/state/").length;
  await server.stream.hello({ cursor: 13, head: 13, state_seq: 13, unread: 3, unseen: 1 });
  await server.stream.send(note(14, { id: 112, count: 2 }));
  await clock.advance(2_000);
  assert.ok(server.asked("/state/").length > asked);
});

test("client: it can be imported and made in Node with nothing but addresses", () => {
  assert.equal(new SseNotifyClient({ urls: URLS }).state, "idle");
});
