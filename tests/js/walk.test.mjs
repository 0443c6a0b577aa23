// Random walks through what can happen to a browser and its server; a failure names the seed, which repeats it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser, ModelServer, ModelTab, random } from "./model.mjs";
import { FakeClock } from "./support.mjs";

const STEPS = 80;
const MORE = Number(process.env.WALKS ?? 1); // times as many, to look for trouble

/** Walk, make peace, and return the tabs that are left. @param {number} seed @param {boolean} shared Whether tabs share a stream. */
async function walk(seed, shared) {
  const clock = new FakeClock();
  const dice = random(seed);
  const pick = (all) => all[Math.floor(dice() * all.length)];
  const server = new ModelServer(clock);
  const browser = shared ? new Browser() : null;
  const open = () => new ModelTab({ server, clock, browser, dice });
  let tabs = [open()];
  const ignore = () => {}; // a mark may fail; then nothing was marked

  const steps = {
    notify: () => server.notify(),
    several: () => {
      for (let more = 0; more < 3; more++) server.notify();
    },
    again: () => server.items.length && server.notify(pick(server.items)),
    elsewhere: () =>
      server.items.length &&
      server.mark(pick(["read", "unread"]), { ids: [pick(server.items).id] }),
    read: () =>
      server.items.length &&
      pick(tabs)
        .client.markRead([pick(server.items).id])
        .catch(ignore),
    all: () => pick(tabs).client.markAllRead().catch(ignore),
    seen: () => pick(tabs).client.markSeen().catch(ignore),
    refresh: () => pick(tabs).client.refresh(),
    cut: () => server.each((stream) => server.cut(stream)),
    cutWithin: () => server.each((stream) => server.cut(stream, "event: notification\ndata: {")),
    silence: () => server.each((stream) => (stream.mute = true)),
    down: () => (server.mode = "down"),
    gone: () => (server.mode = "gone"),
    up: () => (server.mode = "up"),
    hold: () => (server.holds = true),
    flow: () => (server.holds = false),
    flush: () => server.each((stream) => server.flush(stream)),
    hide: () => pick(tabs).show(false),
    show: () => pick(tabs).show(true),
    freeze: () => pick(tabs).freeze(),
    offline: () => setOnline(false),
    online: () => setOnline(true),
    sleep: () => clock.sleep(120_000),
    back: async () => {
      const tab = pick(tabs);
      await tab.env.fire("pagehide");
      await clock.advance(2_000);
      await tab.env.fire("pageshow", { persisted: true });
    },
    open: () => tabs.length < 4 && tabs.push(open()),
    close: async () => {
      if (tabs.length < 2) return;
      const tab = pick(tabs);
      tabs = tabs.filter((other) => other !== tab);
      await tab.close();
    },
  };

  async function setOnline(isOnline) {
    for (const { env } of tabs) {
      env.isOnline = isOnline;
      await env.fire(isOnline ? "online" : "offline");
    }
  }

  const path = [];
  for (let step = 0; step < STEPS; step++) {
    const name = pick(Object.keys(steps));
    path.push(name);
    await steps[name]();
    await clock.advance(pick([0, 0, 20, 1_000, 5_000, 20_000]));
  }
  server.mode = "up";
  server.holds = false;
  await setOnline(true);
  for (const tab of tabs) await tab.show(true);
  await clock.advance(300_000);
  return { tabs, server, path, clock };
}

for (const [what, shared, seeds] of [
  ["tabs that share a stream", true, 30],
  ["tabs that cannot share", false, 20],
]) {
  test(`walk: ${what} hear everything once, in order, and agree with the server in the end`, async () => {
    for (let seed = 1; seed <= seeds * MORE; seed++) {
      const { tabs, server, path, clock } = await walk(seed, shared);
      const told = `seed ${seed}: ${path.join(" ")}`;
      for (const { client, heard, from, resets } of tabs) {
        const is = shared && !client.leading ? "follower" : "open";
        assert.equal(client.state, is, told);
        assert.equal(client.cursor, server.head, told);
        assert.deepEqual(client.counts, server.counts, told);
        assert.deepEqual(
          [...new Set(heard)].sort((a, b) => a - b),
          heard,
          `in order, ${told}`,
        );
        const due = server.items.map(({ seq }) => seq).filter((seq) => seq > from);
        assert.deepEqual(
          due.filter((seq) => !heard.includes(seq)),
          [],
          `missed, ${told}`,
        );
        assert.ok(!resets.includes("too_many"), told);
      }
      const open = [...server.streams].filter(({ closed, mute }) => !closed && !mute);
      assert.equal(open.length, shared ? 1 : tabs.length, `streams, ${told}`);
      assert.equal(tabs.filter(({ client }) => client.leading).length, open.length, told);
      for (const tab of tabs) await tab.close();
      await clock.advance(5_000); // what was asked for is still answered
      assert.equal(clock.pending, 1, `only the server's heart beats, ${told}`);
    }
  });
}
