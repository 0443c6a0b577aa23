import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { createBackoff } from "../../sse_notify/js/backoff.js";
import { createConnection } from "../../sse_notify/js/connection.js";
import { SseNotifyError } from "../../sse_notify/js/requests.js";
import { block, FakeClock, FakePage, FakeServer, json, note, settle } from "./support.mjs";

let clock, env, server, states, heard, errors, onMessage, random, connection;

beforeEach(async () => {
  [clock, env, server, states, heard, errors, random] = [
    new FakeClock(),
    new FakePage(),
    new FakeServer(),
    [],
    [],
    [],
    0.5,
  ];
  onMessage = (message) => heard.push(message.event);
  connection = createConnection({
    getAddress: () => "/stream/",
    onMessage: (message) => onMessage(message),
    onState: (state) => states.push(state),
    onError: (error) => errors.push(error),
    onForbidden: () => false,
    fetch: (...request) => server.fetch(...request),
    clock,
    random: () => random,
    env,
  });
});

const tries = () => server.requests.length;
const start = () => {
  connection.start();
  return settle();
};

/** Answer every request alike. */
const refuse = (status, body = {}, headers = {}) => {
  server.routes["/stream/"] = () => json(body, { status, headers });
};

test("connection: it asks for an event stream, uncached, and is open with hello", async () => {
  await start();
  assert.equal(connection.state, "connecting");
  assert.equal(server.requests[0].headers.get("Accept"), "text/event-stream");
  await server.stream.hello();
  await server.stream.send(note(11));
  assert.equal(connection.state, "open");
  assert.deepEqual(heard, ["hello", "notification"]);
});

test("connection: a second start changes nothing; stop ends everything and leaves no timer", async () => {
  await start();
  await start();
  assert.equal(tries(), 1);
  await server.stream.hello();
  connection.stop();
  await settle();
  assert.ok(server.stream.closed);
  assert.equal(clock.pending, 0);
  await clock.advance(3_600_000);
  assert.equal(tries(), 1);
  assert.equal(connection.state, "stopped");
});

test("connection: nothing is heard after stop, not even what the same chunk holds", async () => {
  onMessage = ({ event }) => {
    heard.push(event);
    if (event === "notification") connection.stop();
  };
  await start();
  await server.stream.hello();
  await server.stream.send(note(11) + note(12));
  assert.deepEqual(heard, ["hello", "notification"]);
});

test("connection: a failure waits a random part of a time that doubles up to a minute, and never less than 250 ms", async () => {
  server.routes["/stream/"] = () => {
    throw new TypeError("refused");
  };
  await start();
  assert.equal(connection.state, "waiting");
  for (const delay of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    const before = tries();
    await clock.advance(delay - 1);
    assert.equal(tries(), before, `before ${delay} ms`);
    await clock.advance(1);
    assert.equal(tries(), before + 1, `after ${delay} ms`);
  }
  random = 0;
  await clock.advance(30_000);
  const before = tries();
  await clock.advance(1_000);
  assert.equal(tries(), before + 4);
});

test("connection: accepted and dropped again, the delays grow; after 30 s of peace they start over", async () => {
  await start();
  for (const delay of [500, 1_000, 2_000]) {
    await server.stream.hello();
    await server.stream.cut();
    await clock.advance(delay - 1);
    assert.equal(connection.state, "waiting");
    await clock.advance(1);
  }
  await server.stream.hello();
  await clock.advance(29_000);
  await server.stream.send(block("ping", { cursor: 10 }));
  await clock.advance(1_000);
  await server.stream.cut();
  const before = tries();
  await clock.advance(500);
  assert.equal(tries(), before + 1);
});

for (const [name, value, least] of [
  ["seconds", "5", 5_000],
  ["a date", new Date(new FakeClock().time + 7_000).toUTCString(), 7_000],
]) {
  for (const status of [429, 503]) {
    test(`connection: ${status} with Retry-After in ${name} is obeyed and never undercut`, async () => {
      refuse(status, { error: "full", message: "No room." }, { "Retry-After": value });
      await start();
      await clock.advance(least - 1);
      assert.equal(tries(), 1);
      await env.show(true); // not even by a user who looks
      await clock.advance(300);
      delete server.routes["/stream/"];
      await clock.advance(least);
      await server.stream.hello();
      assert.equal(connection.state, "open");
      assert.equal(errors[0].code, "full");
      assert.equal(errors[0].status, status);
    });
  }
}

test("connection: 500, 502, 404 and pages that are no stream are tried again", async () => {
  for (const answer of [
    json({}, { status: 500 }),
    json({}, { status: 502 }),
    json({}, { status: 404 }),
    new Response("<p>Hi</p>"),
  ]) {
    server.routes["/stream/"] = answer;
    await start();
    assert.equal(connection.state, "waiting");
    connection.stop();
  }
});

for (const status of [401, 403]) {
  test(`connection: ${status} ends it, and says so; no loop of requests`, async () => {
    refuse(status, { error: "unauthenticated", message: "Sign in." });
    await start();
    assert.equal(connection.state, "unauthorized");
    assert.ok(errors[0] instanceof SseNotifyError);
    assert.equal(errors[0].message, "Sign in.");
    await clock.advance(3_600_000);
    await env.show(true);
    assert.equal(tries(), 1);
  });
}

test("connection: a redirect to a login page ends it too", async () => {
  const page = new Response("<form>", { headers: { "Content-Type": "text/html" } });
  Object.defineProperty(page, "redirected", { value: true });
  server.routes["/stream/"] = () => page;
  await start();
  assert.equal(connection.state, "unauthorized");
});

for (const status of [204, 410, 400]) {
  test(`connection: ${status} ends it`, async () => {
    server.routes["/stream/"] = () => new Response(null, { status });
    await start();
    assert.equal(connection.state, "stopped");
    assert.equal(clock.pending, 0);
  });
}

test("connection: bye with a time comes back after it, bye without one does not", async () => {
  await start();
  await server.stream.hello();
  await server.stream.send(block("bye", { reason: "drain", retry_after: 4_000 }));
  assert.equal(connection.state, "waiting");
  assert.ok(server.stream.closed);
  await clock.advance(3_999);
  assert.equal(tries(), 1);
  await clock.advance(2_000);
  assert.equal(tries(), 2);
  await server.stream.hello();
  await server.stream.send(block("bye", { reason: "logout", retry_after: null }));
  assert.equal(connection.state, "unauthorized");
  await clock.advance(3_600_000);
  assert.equal(tries(), 2);
});

test("connection: a revoked stream asks once more, and what the handshake says counts", async () => {
  await start();
  await server.stream.hello();
  refuse(401, { error: "unauthenticated", message: "Sign in." });
  await server.stream.send(block("bye", { reason: "revoked", retry_after: 1_500 }));
  assert.equal(connection.state, "waiting");
  await clock.advance(4_000);
  assert.equal(tries(), 2);
  assert.equal(connection.state, "unauthorized");
  await clock.advance(3_600_000);
  assert.equal(tries(), 2);
});

test("connection: a finite stream (WSGI) is asked for again after its retry time, without backoff, as polling", async () => {
  await start();
  for (let round = 1; round <= 5; round++) {
    await server.stream.hello();
    await server.stream.end();
    assert.equal(connection.state, "polling");
    await clock.advance(2_499);
    assert.equal(tries(), round);
    await clock.advance(1);
    assert.equal(tries(), round + 1);
  }
  assert.deepEqual(states, ["connecting", "open", "polling"]);
  await server.stream.hello();
  await clock.advance(10_000);
  assert.equal(connection.state, "open", "this time it did not end");
});

test("connection: a stream that ends before hello is a failure", async () => {
  await start();
  await server.stream.end();
  assert.equal(connection.state, "waiting");
});

test("connection: silence for 45 s, or two and a half pings, means that the peer is gone", async () => {
  await start();
  await server.stream.hello({ ping: 15 });
  await clock.advance(40_000);
  await server.stream.send(": still here\n\n");
  await clock.advance(40_000);
  assert.equal(connection.state, "open");
  await clock.advance(15_000);
  assert.ok(server.streams[0].closed);
  await server.stream.hello({ ping: 30 });
  await clock.advance(74_000);
  assert.equal(connection.state, "open");
  await clock.advance(10_000);
  assert.ok(server.streams[1].closed);
});

test("connection: a server that never answers is given up as well", async () => {
  server.routes["/stream/"] = () => new Promise(() => {});
  await start();
  await clock.advance(60_000);
  assert.ok(tries() >= 2);
});

test("connection: after sleep, or when the user looks, a dead stream is replaced at once", async () => {
  await start();
  await server.stream.hello();
  clock.sleep(3_600_000);
  await env.show(true);
  await clock.advance(1_000);
  assert.equal(tries(), 2);
});

test("connection: without hello for ten seconds something holds the bytes back; a late hello proves nothing, one in time does", async () => {
  await start();
  await clock.advance(15_000);
  assert.equal(connection.state, "polling");
  assert.ok(connection.buffered);
  await server.stream.hello();
  assert.deepEqual(
    [connection.state, connection.buffered],
    ["polling", true],
    "the next events may be as late",
  );
  assert.deepEqual(heard, ["hello"]);
  await clock.advance(40_000);
  await server.stream.send(block("ping", { cursor: 10 }));
  assert.equal(tries(), 1);
  await clock.advance(30_000);
  assert.deepEqual(
    [tries(), connection.state],
    [2, "polling"],
    "tried again after a minute, without a word about it",
  );
  await server.stream.hello();
  assert.deepEqual([connection.state, connection.buffered], ["open", false]);
});

test("connection: an answer that comes with its first byte, as in Firefox, is waited for no longer than hello", async () => {
  const { promise: byte, resolve: firstByte } = Promise.withResolvers();
  const { fetch } = server;
  server.fetch = async (...request) => {
    const response = await fetch(...request);
    await byte;
    return response;
  };
  await start();
  await clock.advance(9_000);
  assert.equal(connection.state, "connecting");
  await clock.advance(6_000);
  assert.deepEqual([connection.state, connection.buffered, tries()], ["polling", true, 1]);
  firstByte();
  await server.stream.hello();
  assert.deepEqual([heard, connection.state, connection.buffered], [["hello"], "polling", true]);
});

test("connection: one that a tab in sight asks about does what its own late timers have not", async () => {
  await start();
  await server.stream.cut();
  random = 1;
  clock.sleep(30_000); // no timer ran
  connection.check();
  await settle();
  assert.equal(tries(), 2);
  connection.check();
  await settle();
  assert.equal(tries(), 2, "it is under way");
  connection.stop();
  connection.check();
  assert.equal(tries(), 2);
});

test("connection: offline is only how waiting is called; a server on this machine is reached all the same", async () => {
  env.isOnline = false;
  await start();
  await server.stream.hello();
  assert.equal(connection.state, "open");
  await server.stream.cut();
  assert.equal(connection.state, "offline");
  env.isOnline = true;
  random = 0.1;
  await env.fire("online");
  await clock.advance(250);
  await server.stream.hello();
  assert.equal(connection.state, "open");
});

test("connection: a hidden page that rests goes on when a tab in sight asks about it", async () => {
  refuse(500);
  env.isVisible = false;
  await start();
  await clock.advance(720_000);
  const before = tries();
  await clock.advance(600_000);
  assert.equal(tries(), before);
  connection.check();
  await settle();
  assert.equal(tries(), before + 1);
});

test("connection: a hidden page that failed for ten minutes rests until it is seen", async () => {
  server.routes["/stream/"] = () => {
    throw new TypeError("refused");
  };
  env.isVisible = false;
  await start();
  await clock.advance(1_200_000);
  const before = tries();
  await clock.advance(3_600_000);
  assert.equal(tries(), before);
  await env.show(true);
  await clock.advance(250);
  assert.equal(tries(), before + 1);
});

test("connection: a message that cannot be taken opens the stream again", async () => {
  await start();
  await server.stream.hello();
  onMessage = () => {
    throw new Error("no sense");
  };
  await server.stream.send(note(11));
  assert.equal(connection.state, "waiting");
  assert.equal(errors[0].message, "no sense");
});

test("connection: an endless event does", async () => {
  await start();
  await server.stream.hello();
  await server.stream.send("data: ");
  for (let chunk = 0; chunk < 9; chunk++) await server.stream.send("x".repeat(2_000_000));
  assert.equal(connection.state, "waiting");
});

test("backoff: full jitter spreads evenly, and a hint is only ever lengthened", () => {
  const at = (value, hint) => createBackoff(() => value).next(hint);
  assert.deepEqual([at(0), at(0.5), at(1)], [250, 500, 1_000]);
  assert.deepEqual([at(0, 5_000), at(1, 5_000)], [5_000, 6_500]);
  assert.equal(at(0, 0), 250);
  assert.equal(at(0, 86_400_000), 600_000, "no server puts a page to sleep for a day");
});
