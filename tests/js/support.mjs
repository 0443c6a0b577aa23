// A clock, a server and a page that tests hold in their hands. Nothing waits for real time.

/** Let everything that can go on without time passing go on. */
export async function settle() {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

export class FakeClock {
  time = 1_700_000_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.time;

  setTimeout = (fn, ms) => {
    // What is no positive number is 0, as in browsers.
    this.#timers.set(this.#next, { fn, due: this.time + (ms > 0 ? ms : 0) });
    return this.#next++;
  };

  clearTimeout = (id) => this.#timers.delete(id);

  /** Let `ms` pass, timer by timer. */
  async advance(ms) {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const [id, timer] = [...this.#timers].sort(([, a], [, b]) => a.due - b.due)[0] ?? [];
      if (!timer || timer.due > end) break;
      this.#timers.delete(id);
      this.time = Math.max(this.time, timer.due);
      timer.fn();
      await settle();
    }
    this.time = end;
  }

  /** Let `ms` pass in which nothing runs, as when the machine sleeps. */
  sleep(ms) {
    this.time += ms;
  }

  get pending() {
    return this.#timers.size;
  }
}

/** A page that can be hidden, taken offline and put away. */
export class FakePage {
  isVisible = true;
  isOnline = true;
  locks = undefined;
  #listeners = new Map();

  visible = () => this.isVisible;
  online = () => this.isOnline;
  channel = () => {
    throw new Error("no channels here");
  };

  on = (type, fn) => {
    const all = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, all.add(fn));
    return () => all.delete(fn);
  };

  async fire(type, event = {}) {
    for (const fn of [...(this.#listeners.get(type) ?? [])]) fn(event);
    await settle();
  }

  async show(isVisible) {
    this.isVisible = isVisible;
    await this.fire("visibilitychange");
  }
}

const HELLO = {
  v: 1,
  cursor: 10,
  head: 10,
  state_seq: null,
  unread: 0,
  unseen: 0,
  ping: 15,
  server_time: "2026-01-01T00:00:00Z",
};

export const block = (event, data, id) =>
  `event: ${event}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n${id === undefined ? "" : `id: ${id}\n`}\n`;

export const note = (seq, more = {}) =>
  block(
    "notification",
    { id: 100 + seq, seq, title: `Title ${seq}`, level: "info", count: 1, silent: false, ...more },
    seq,
  );

/** One open stream, from the server's side. */
export class FakeStream {
  closed = false;
  #encoder = new TextEncoder();

  constructor(signal) {
    this.body = new ReadableStream({ start: (controller) => (this.controller = controller) });
    signal?.addEventListener("abort", () => {
      if (this.closed) return;
      this.closed = true;
      this.controller.error(new DOMException("aborted", "AbortError"));
    });
  }

  async send(text) {
    this.controller.enqueue(this.#encoder.encode(text));
    await settle();
  }

  hello(more = {}) {
    const hello = { ...HELLO, ...more };
    return this.send(`\nretry: 2500\n${block("hello", hello, hello.cursor)}`);
  }

  async end() {
    this.closed = true;
    this.controller.close();
    await settle();
  }

  async cut() {
    this.closed = true;
    this.controller.error(new TypeError("network error"));
    await settle();
  }
}

export class FakeServer {
  /** Every request, newest last: `{path, query, method, headers, body}`. */
  requests = [];
  streams = [];
  /** Answers by path: a function of the request, or what it would return. */
  routes = {};

  fetch = async (url, init = {}) => {
    const { pathname: path, searchParams } = new URL(url, "http://site.test");
    const request = {
      path,
      query: Object.fromEntries(
        [...new Set(searchParams.keys())].map((name) => [name, searchParams.getAll(name).join()]),
      ),
      method: init.method ?? "GET",
      mode: init.mode,
      headers: new Headers(init.headers),
      body: init.body ? JSON.parse(init.body) : null,
    };
    this.requests.push(request);
    if (init.signal?.aborted) throw new DOMException("aborted", "AbortError");
    const route = this.routes[path];
    if (route) return typeof route === "function" ? route(request) : route.clone();
    if (path !== "/stream/") throw new Error(`nothing is said about ${path}`);
    const stream = new FakeStream(init.signal);
    this.streams.push(stream);
    return new Response(stream.body, { headers: { "Content-Type": "text/event-stream" } });
  };

  get stream() {
    return this.streams.at(-1);
  }

  asked(path) {
    return this.requests.filter((request) => request.path === path);
  }
}

export const json = (data, init = {}) => Response.json(data, init);

export const URLS = Object.fromEntries(
  ["stream", "state", "items", "read", "unread", "seen", "archive", "unarchive"].map((name) => [
    name,
    `/${name}/`,
  ]),
);
