// A server with a log and an inbox, and a browser with tabs, all in one thread and all on one clock: what a seed begins it repeats.
import { SseNotifyClient } from "../../sse_notify/js/client.js";
import { block, FakePage, FakeStream, json, settle, URLS } from "./support.mjs";

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class ModelServer {
  head = 10;
  items = [];
  streams = new Set();
  /** "up", "down": it answers with 503, or "gone": it does not answer. */
  mode = "up";
  /** Whether a proxy holds back what new streams bring. */
  holds = false;
  asked = 0;
  #update = null;

  constructor(clock) {
    const beat = () => {
      for (const stream of this.streams) this.#write(stream, block("ping", { cursor: this.head }));
      clock.setTimeout(beat, 15_000);
    };
    clock.setTimeout(beat, 15_000);
  }

  get counts() {
    return {
      unread: this.items.filter(({ unread }) => unread).length,
      unseen: this.items.filter(({ unseen }) => unseen).length,
    };
  }

  get state() {
    return {
      cursor: this.head,
      state_seq: this.#update?.state_seq ?? null,
      ...this.counts,
      poll: 5,
      key: "me",
      csrf: "c",
    };
  }

  /** Send a new one, or an old one again. */
  notify(again = null) {
    const item = again ?? { id: 1_000 + this.items.length, title: "t", count: 0 };
    Object.assign(item, { seq: ++this.head, count: item.count + 1, unread: true, unseen: true });
    if (!again) this.items.push(item);
    this.#publish(block("notification", item, item.seq));
  }

  mark(set, { ids, up_to: upTo, client }) {
    for (const item of this.items) {
      if (ids ? !ids.includes(item.id) : item.seq > upTo) continue;
      if (set === "unread") item.unread = true;
      else item.unseen = false;
      if (set === "read") item.unread = false;
    }
    this.#update = {
      ids,
      up_to: upTo,
      set,
      client: client ?? "",
      state_seq: ++this.head,
      ...this.counts,
    };
    this.#publish(block("update", this.#update, this.head));
  }

  /** Do something to all streams, or to the one that has a tab. */
  each(fn) {
    for (const stream of [...this.streams]) fn(stream);
  }

  /** End a connection, maybe in the middle of an event, which the client must then forget. */
  cut(stream, part = "") {
    this.streams.delete(stream);
    if (stream.closed) return;
    if (part && !stream.mute && !stream.held)
      stream.controller.enqueue(new TextEncoder().encode(part));
    stream.closed = true;
    // What is in the pipe is read first.
    setImmediate(() => stream.controller.error(new TypeError("network error")));
  }

  fetch = async (url, init = {}) => {
    this.asked++;
    const { pathname, searchParams } = new URL(url, "http://site.test");
    await null;
    if (this.mode === "gone") throw new TypeError("Failed to fetch");
    if (init.signal?.aborted) throw new DOMException("aborted", "AbortError");
    if (this.mode === "down") return json({}, { status: 503, headers: { "Retry-After": "3" } });
    if (pathname === "/stream/") return this.#open(Number(searchParams.get("cursor")), init.signal);
    if (pathname === "/state/") return json(this.state);
    if (pathname === "/items/") {
      const items = [...this.items].sort((a, b) => b.seq - a.seq).slice(0, 100);
      return json({ items, next: null, ...this.counts });
    }
    this.mark(pathname.slice(1, -1), JSON.parse(init.body));
    return json(this.counts);
  };

  #open(cursor, signal) {
    const stream = new FakeStream(signal);
    stream.held = this.holds ? [] : null;
    this.streams.add(stream);
    const replay = this.items
      .filter(({ seq }) => seq > cursor)
      .map((item) => [item.seq, block("notification", item, item.seq)]);
    const update = this.#update && { ...this.#update, ...this.counts };
    if (update && update.state_seq > cursor)
      replay.push([update.state_seq, block("update", update, update.state_seq)]);
    const { cursor: head, ...state } = this.state;
    this.#write(stream, `\n${block("hello", { v: 1, ...state, cursor, head, ping: 15 }, cursor)}`);
    for (const [, text] of replay.sort(([a], [b]) => a - b)) this.#write(stream, text);
    return new Response(stream.body, { headers: { "Content-Type": "text/event-stream" } });
  }

  #publish(text) {
    for (const stream of this.streams) this.#write(stream, text);
  }

  #write(stream, text) {
    if (stream.closed) return this.streams.delete(stream);
    if (stream.mute) return;
    if (stream.held) return stream.held.push(text);
    stream.controller.enqueue(new TextEncoder().encode(text));
  }

  /** A proxy lets go of what it held. */
  flush(stream) {
    const held = stream.held?.splice(0) ?? [];
    if (!stream.closed && !stream.mute)
      for (const text of held) stream.controller.enqueue(new TextEncoder().encode(text));
  }
}

/** The locks and channels of one browser, as the standards have them. */
export class Browser {
  #held = new Map();
  #queues = new Map();
  #channels = new Set();

  locks = {
    request: (name, { signal, steal }, hold) =>
      new Promise((resolve, reject) => {
        const entry = { hold, resolve, reject };
        const queue = this.#queues.get(name) ?? [];
        this.#queues.set(name, queue);
        signal?.addEventListener("abort", () => {
          if (!queue.includes(entry)) return;
          queue.splice(queue.indexOf(entry), 1);
          reject(new DOMException("aborted", "AbortError"));
        });
        if (!steal) queue.push(entry);
        else {
          queue.unshift(entry);
          this.#held.get(name)?.reject(new DOMException("stolen", "AbortError"));
          this.#held.delete(name);
        }
        this.#grant(name);
      }),
  };

  #grant(name) {
    const queue = this.#queues.get(name);
    if (this.#held.has(name) || !queue.length) return;
    const entry = queue.shift();
    this.#held.set(name, entry);
    Promise.resolve()
      .then(() => entry.hold({ name }))
      .then(entry.resolve, entry.reject)
      .finally(() => {
        if (this.#held.get(name) !== entry) return;
        this.#held.delete(name);
        this.#grant(name);
      });
  }

  channel(name, tab) {
    const channel = {
      onmessage: null,
      postMessage: (message) => {
        for (const other of this.#channels) {
          if (other === channel || other.name !== name) continue;
          const data = structuredClone(message);
          setImmediate(() =>
            other.tab.run(() => this.#channels.has(other) && other.onmessage?.({ data })),
          );
        }
      },
      close: () => this.#channels.delete(channel),
      name,
      tab,
    };
    this.#channels.add(channel);
    return channel;
  }
}

/** A page in a browser; frozen, nothing of it runs until it thaws. */
export class ModelTab {
  env = new FakePage();
  /** The numbers that it was told, in order. */
  heard = [];
  resets = [];
  #frozen = null;

  constructor({ server, clock, browser, dice }) {
    this.server = server;
    if (browser) {
      this.env.locks = browser.locks;
      this.env.channel = (name) => browser.channel(name, this);
    }
    const { cursor, state_seq: stateSeq, unread, unseen } = server.state;
    this.from = cursor;
    this.client = new SseNotifyClient({
      urls: URLS,
      key: "me",
      cursor,
      stateSeq,
      unread,
      unseen,
      random: dice,
      env: this.env,
      clock: {
        now: clock.now,
        setTimeout: (fn, ms) => {
          const timer = { isDue: true };
          timer.id = clock.setTimeout(() => this.run(() => timer.isDue && fn()), ms);
          return timer;
        },
        clearTimeout: (timer) => {
          if (timer) timer.isDue = false; // it may be waiting for the thaw
          clock.clearTimeout(timer?.id);
        },
      },
      fetch: async (url, init) => {
        const response = await server.fetch(url, init);
        if (url.startsWith("/stream/")) this.stream = [...server.streams].at(-1);
        return response;
      },
    });
    this.client.on("notification", ({ seq }) => this.heard.push(seq));
    this.client.on("reset", ({ reason }) => this.resets.push(reason));
    this.client.start();
  }

  run(fn) {
    if (this.#frozen) this.#frozen.push(fn);
    else fn();
  }

  freeze() {
    this.#frozen ??= [];
    this.env.isVisible = false;
    if (this.stream) this.stream.mute = true;
  }

  async show(isVisible) {
    const waiting = this.#frozen ?? [];
    this.#frozen = null;
    for (const fn of waiting) {
      fn();
      await settle();
    }
    if (waiting.length) await this.env.fire("resume");
    await this.env.show(isVisible);
  }

  async close() {
    await this.show(true);
    await this.env.fire("pagehide");
    this.client.stop();
  }
}
