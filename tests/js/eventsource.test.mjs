import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { SseNotifyClient } from "../../sse_notify/js/client.js";
import { open } from "../../sse_notify/js/eventsource.js";
import { FakeClock, FakePage, json, settle, URLS } from "./support.mjs";

/** An EventSource that cannot be opened. */
class Refused extends EventTarget {
  constructor() {
    super();
    queueMicrotask(() => this.onerror(new Event("error")));
  }

  close() {}
}

afterEach(() => {
  delete globalThis.EventSource;
});

for (const [name, more, expected] of [
  ["stays on its origin", {}, "same-origin"],
  ["has the mode of the project's own fetch", { mode: "cors" }, "cors"],
]) {
  test(`eventsource: what asks why it cannot be opened ${name}`, async () => {
    globalThis.EventSource = Refused;
    const asked = [];
    const fetch = async (url, init) => {
      asked.push({ url, ...init, ...more });
      return json({ message: "Sign in." }, { status: 401 });
    };
    const client = new SseNotifyClient({
      urls: URLS,
      transport: "eventsource",
      fetch,
      clock: new FakeClock(),
      env: new FakePage(),
    });
    const refused = new Promise((resolve) => client.on("error", resolve));
    client.start();
    assert.equal((await refused).status, 401);
    await settle();
    assert.equal(client.state, "unauthorized");
    assert.deepEqual(
      asked.map(({ url, mode }) => [url.split("?")[0], mode]),
      [["/stream/", expected]],
    );
  });
}

test("eventsource: beside a script of before, which passes no fetch on, it stays on its origin, too", async (t) => {
  globalThis.EventSource = Refused;
  const asked = t.mock.method(globalThis, "fetch", async () => new Response());
  await open("/stream/", { signal: new AbortController().signal });
  assert.equal(asked.mock.calls[0].arguments[1].mode, "same-origin");
});
