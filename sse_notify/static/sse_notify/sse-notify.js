// sse_notify: live notifications. Joined from the modules in sse_notify/js/ by build.mjs; edit those.
var EVERY = 5e3;
var Announcer = class {
  #waiting = [];
  #timer;
  constructor(region) {
    this.region = region;
  }
  announce(title) {
    if (document.visibilityState === "hidden") return;
    this.#waiting.push(title);
    if (this.#timer === void 0) this.#speak();
  }
  stop() {
    clearTimeout(this.#timer);
    this.#timer = void 0;
    this.#waiting = [];
    this.region?.replaceChildren();
  }
  #speak() {
    const titles = this.#waiting.splice(0);
    this.#timer = void 0;
    if (titles.length === 0 || !this.region) return;
    const { one = "{title}", many = "{count}" } = this.region.dataset;
    this.region.textContent = titles.length === 1 ? one.replace("{title}", () => titles[0] ?? "") : many.replace("{count}", String(titles.length));
    this.#timer = setTimeout(() => this.#speak(), EVERY);
  }
};
var BASE = 1e3;
var CAP = 6e4;
var LEAST = 250;
var HINT_CAP = 6e5;
var Backoff = class {
  #tries = 0;
  #random;
  constructor(random) {
    this.#random = random;
  }
  reset() {
    this.#tries = 0;
  }
  next(hint = null) {
    const full = this.#random() * Math.min(CAP, BASE * 2 ** this.#tries);
    const first = this.#tries === 0;
    this.#tries += 1;
    if (hint === null) return Math.max(LEAST, full);
    const asked = Math.min(hint, HINT_CAP) * (1 + 0.3 * this.#random());
    return Math.max(LEAST, asked, first ? 0 : full);
  }
};
var BLOCK_LIMIT = 1048576;
var LINE_END = /\r\n|\r|\n/g;
var EventStreamParser = class {
  lastEventId = "";
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #started = false;
  #afterCr = false;
  #rest = "";
  #event = "";
  #data = [];
  #id = null;
  #size = 0;
  #onEvent;
  #onRetry;
  constructor(onEvent, onRetry = () => {
  }) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }
  feed(chunk) {
    let text = typeof chunk === "string" ? chunk : this.#decoder.decode(chunk, { stream: true });
    if (!text) return;
    if (!this.#started) {
      this.#started = true;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    const whole = text;
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    if (whole) this.#afterCr = whole.endsWith("\r");
    let start = 0;
    for (const { 0: end, index } of text.matchAll(LINE_END)) {
      const line = this.#rest + text.slice(start, index);
      this.#rest = "";
      start = index + end.length;
      if (line) this.#field(line);
      else this.#dispatch();
    }
    this.#rest += text.slice(start);
    this.#limit(this.#size + this.#rest.length);
  }
  #field(line) {
    this.#size += line.length;
    this.#limit(this.#size);
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }
  #dispatch() {
    const message = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = !this.#data.length;
    if (this.#id !== null) this.lastEventId = this.#id;
    this.#event = "";
    this.#data = [];
    this.#id = null;
    this.#size = 0;
    if (!empty) this.#onEvent(message);
  }
  #limit(size) {
    if (size > BLOCK_LIMIT) throw new RangeError("The stream has an event that is too large.");
  }
};
var TICK = 5e3;
var SILENCE = 45e3;
var HELLO_WITHIN = 1e4;
var STABLE = 3e4;
var GIVE_UP_HIDDEN = 6e5;
var RETRY = 3e3;
var SseNotifyError = class _SseNotifyError extends Error {
  constructor(message, { status = 0, code = "", retryAfter = null } = {}) {
    super(message);
    this.name = "SseNotifyError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
  static async from(response, now) {
    const said = await response.json().catch(() => null);
    const wait = response.headers.get("Retry-After") ?? "";
    const ms = /^\d+$/.test(wait) ? Number(wait) * 1e3 : Date.parse(wait) - now;
    return new _SseNotifyError(said?.message ?? `The server answered with status ${response.status}.`, { status: response.status, code: said?.error ?? "", retryAfter: ms >= 0 ? ms : null });
  }
};
var Connection = class {
  state = "idle";
  buffered = false;
  #o;
  #backoff;
  #attempt = null;
  #retryTimer = null;
  #tickTimer = null;
  #off = [];
  #heard = 0;
  #answered = 0;
  #opened = 0;
  #silence = SILENCE;
  #retry = RETRY;
  #notBefore = 0;
  #failing = 0;
  #finite = false;
  constructor(options) {
    this.#o = options;
    this.#backoff = new Backoff(options.random);
  }
  start() {
    if (this.#off.length) return;
    const { env, clock, random } = this.#o;
    const wake = () => env.visible() && this.#wake(0);
    this.#off = [env.on("visibilitychange", wake), env.on("resume", wake), env.on("online", () => this.#wake(random() * 2e3)), env.on("offline", () => this.state === "waiting" && this.#set("offline"))];
    const tick = () => {
      this.#tickTimer = clock.setTimeout(tick, TICK);
      this.#look();
    };
    this.#tickTimer = clock.setTimeout(tick, TICK);
    this.#connect();
  }
  stop(state = "stopped") {
    this.#close();
    this.#o.clock.clearTimeout(this.#tickTimer);
    for (const off of this.#off.splice(0)) off();
    this.#set(state);
  }
  async #connect() {
    const { address, fetch, clock } = this.#o;
    this.#close();
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#heard = clock.now();
    if (!this.buffered && !this.#finite) this.#set("connecting");
    try {
      const response = await fetch(address(), { headers: { Accept: "text/event-stream" }, credentials: "same-origin", cache: "no-store", signal: attempt.signal });
      if (this.#attempt !== attempt) return;
      await this.#check(response);
      if (this.#attempt !== attempt || !response.body) return;
      this.#heard = this.#answered = clock.now();
      const reader = response.body.getReader();
      const parser = new EventStreamParser((message) => this.#attempt === attempt && this.#message(message), (ms) => {
        this.#retry = ms;
      });
      for (; ; ) {
        const { done, value } = await reader.read();
        if (this.#attempt !== attempt) return;
        if (done) break;
        this.#heard = clock.now();
        parser.feed(value);
      }
      this.#ended();
    } catch (error) {
      if (this.#attempt === attempt) this.#failed(error);
    }
  }
  async #check(response) {
    const isStream = (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
    if (response.status === 200 && isStream) return;
    if (response.ok && response.redirected) throw new SseNotifyError("Sign in to open a stream.", { status: 401 });
    if (response.ok) throw new SseNotifyError("The answer is not an event stream.", { status: response.status === 204 ? 204 : 0 });
    throw await SseNotifyError.from(response, this.#o.clock.now());
  }
  #message(message) {
    const { clock, onMessage } = this.#o;
    onMessage(message);
    if (!this.#attempt) return;
    if (message.event === "hello") {
      this.#opened = clock.now();
      this.#failing = 0;
      this.#silence = Math.max(SILENCE, 2500 * (Number(JSON.parse(message.data).ping) || 0));
      this.buffered = false;
      if (!this.#finite) this.#set("open");
    } else if (message.event === "bye") {
      const { retry_after: wait } = JSON.parse(message.data);
      if (wait === null) this.stop("unauthorized");
      else this.#again(Number(wait) || 0);
    }
  }
  #ended() {
    if (!this.#opened) return this.#failed(new SseNotifyError("The stream ended before it began."));
    this.#finite = this.#o.clock.now() - this.#opened < STABLE;
    this.#close();
    this.#set(this.#finite ? "polling" : "waiting");
    this.#schedule(this.#o.env.visible() ? this.#retry : Math.max(this.#retry, 3e4));
  }
  #failed(error) {
    const { status = 0, retryAfter = null } = error;
    this.#failing ||= this.#o.clock.now();
    if (status === 401 || status === 403) this.stop("unauthorized");
    else if ([204, 400, 410].includes(status)) this.stop();
    else this.#again(retryAfter);
    this.#o.onError(error);
  }
  #again(hint) {
    const now = this.#o.clock.now();
    if (this.#opened && now - this.#opened >= STABLE) this.#backoff.reset();
    this.#close();
    this.#finite = false;
    const wait = this.#backoff.next(hint);
    this.#notBefore = hint === null ? 0 : now + wait;
    if (!this.buffered) this.#set(this.#o.env.online() ? "waiting" : "offline");
    if (this.#failing && now - this.#failing > GIVE_UP_HIDDEN && !this.#o.env.visible()) return;
    this.#schedule(wait);
  }
  #schedule(ms) {
    this.#o.clock.clearTimeout(this.#retryTimer);
    this.#retryTimer = this.#o.clock.setTimeout(() => this.#connect(), ms);
  }
  #wake(ms) {
    if (this.#attempt) this.#look();
    else this.#schedule(Math.max(250, ms, this.#notBefore - this.#o.clock.now()));
  }
  #look() {
    if (!this.#attempt) return;
    const now = this.#o.clock.now();
    if (now - this.#heard > this.#silence) return this.#failed(new SseNotifyError("The stream fell silent."));
    if (!this.#opened && this.#answered && now - this.#answered > HELLO_WITHIN) {
      this.buffered = true;
      this.#set("polling");
    } else if (this.#finite && this.#opened && now - this.#opened > 2e3) {
      this.#finite = false;
      this.#set("open");
    }
  }
  #close() {
    const attempt = this.#attempt;
    this.#attempt = null;
    this.#answered = this.#opened = 0;
    this.#o.clock.clearTimeout(this.#retryTimer);
    attempt?.abort();
  }
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#o.onState(state);
  }
};
var ASK_EVERY = 1e4;
var ANSWER_WITHIN = 900;
var MISSES = 2;
var Leadership = class {
  leading = false;
  #o;
  #channel = null;
  #request = null;
  #release = null;
  #misses = 0;
  #timer = null;
  #off = null;
  constructor(options) {
    this.#o = options;
  }
  start() {
    const { name, env, follow, lead } = this.#o;
    try {
      this.#channel = env.channel(name);
    } catch {
      this.leading = true;
      return lead();
    }
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#off = env.on("visibilitychange", () => this.#ask());
    follow();
    this.#queue(false);
    this.#ask();
  }
  stop() {
    this.#off?.();
    this.#off = null;
    this.#o.clock.clearTimeout(this.#timer);
    const request = this.#request;
    this.#request = null;
    this.leading = false;
    request?.abort();
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
  }
  post(message) {
    if (this.leading) this.#channel?.postMessage(message);
  }
  #queue(steal) {
    const { name, env, lead, follow } = this.#o;
    const previous = this.#request;
    const request = new AbortController();
    this.#request = request;
    previous?.abort();
    const hold = () => {
      if (this.#request !== request) return;
      this.leading = true;
      this.#o.clock.clearTimeout(this.#timer);
      lead();
      return new Promise((resolve) => {
        this.#release = resolve;
      });
    };
    env.locks?.request(name, steal ? { steal } : { signal: request.signal }, hold).catch((error) => {
      if (this.#request !== request) return;
      if (this.leading) {
        this.leading = false;
        this.#release = null;
        follow();
        this.#queue(false);
        this.#ask();
      } else if (error.name !== "AbortError") {
        this.leading = true;
        lead();
      }
    });
  }
  #ask() {
    const { clock, env } = this.#o;
    clock.clearTimeout(this.#timer);
    if (!this.#channel || this.leading) return;
    this.#channel.postMessage({ t: "who" });
    if (!env.visible()) return;
    this.#timer = clock.setTimeout(() => {
      this.#misses += 1;
      if (this.#misses < MISSES) return this.#ask();
      this.#misses = 0;
      this.#queue(true);
    }, ANSWER_WITHIN);
  }
  #hear(message) {
    const { clock, env, answer, onMessage } = this.#o;
    if (message.t === "who") return this.post(answer());
    if (this.leading) return;
    this.#misses = 0;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => env.visible() && this.#ask(), ASK_EVERY);
    onMessage(message);
  }
};
var systemClock = { now: () => Date.now(), setTimeout: (fn, ms) => setTimeout(fn, ms), clearTimeout: (timer) => clearTimeout(timer) };
function pageEnvironment() {
  const page = globalThis.document;
  return { visible: () => page?.visibilityState !== "hidden", online: () => globalThis.navigator?.onLine !== false, on(type, fn) {
    const target = type === "visibilitychange" || type === "resume" ? page : globalThis;
    if (!page || !target) return () => {
    };
    target.addEventListener(type, fn);
    return () => target.removeEventListener(type, fn);
  }, locks: page && globalThis.navigator?.locks, channel: (name) => new BroadcastChannel(name) };
}
function safeUrl(text, base = globalThis.location?.href, external = false) {
  if (!text) return "";
  try {
    const url = new URL(text, base);
    if (url.protocol !== "http:" && url.protocol !== "https:") return "";
    if (url.username || url.password) return "";
    return external || url.origin === new URL(base).origin ? url.href : "";
  } catch {
    return "";
  }
}
function withQuery(address, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== void 0 && one !== "") query.append(name, String(one));
  }
  const added = query.toString();
  return added ? `${address}${address.includes("?") ? "&" : "?"}${added}` : address;
}
var PARK = 1e4;
var PAGE = 100;
var POLL = 5;
var SseNotifyClient = class {
  id = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2);
  state = "idle";
  cursor;
  counts;
  #o;
  #listeners = /* @__PURE__ */ new Map();
  #connection;
  #leadership = null;
  #off = [];
  #held = null;
  #token = "";
  #stateSeq;
  #replayedTo = 0;
  #countedTo;
  #catching = false;
  #fresh = /* @__PURE__ */ new Set();
  #bad = "";
  #parkTimer;
  #pollTimer;
  #refreshTimer;
  constructor(options) {
    this.#o = { key: "", csrf: () => "", csrfHeader: "X-CSRFToken", topics: [], share: true, fetch: globalThis.fetch?.bind(globalThis), clock: systemClock, random: Math.random, env: pageEnvironment(), ...options };
    this.cursor = options.cursor ?? null;
    this.counts = { unread: options.unread ?? 0, unseen: options.unseen ?? 0 };
    this.#stateSeq = options.stateSeq;
    this.#countedTo = this.cursor ?? 0;
    this.#connection = new Connection({ ...this.#o, address: () => withQuery(this.#o.urls.stream, { cursor: this.cursor, topic: this.#o.topics, client: this.id }), onMessage: (message) => {
      if (this.#receive(message)) this.#leadership?.post({ t: "event", message });
    }, onState: (state) => {
      this.#set(state);
      this.#leadership?.post(this.#status());
      if (state === "unauthorized" || state === "stopped") this.#suspend(state);
      else if (this.#connection.buffered) this.#poll();
    }, onError: (error) => this.#emit("error", error) });
  }
  start() {
    if (this.#off.length) return;
    const { env } = this.#o;
    this.#off.push(() => this.#suspend("stopped"));
    this.#off.push(env.on("pagehide", () => this.#suspend("idle")));
    this.#off.push(env.on("pageshow", (event) => event.persisted && this.#open()));
    this.#off.push(env.on("visibilitychange", () => this.#park()));
    this.#open();
  }
  #open() {
    const { env, share, key } = this.#o;
    if (share && key && env.locks) this.#share(key, env);
    else if (env.visible() || !share) this.#connection.start();
  }
  stop() {
    for (const off of this.#off.splice(0)) off();
  }
  on(type, fn) {
    const listeners = this.#listeners.get(type) ?? /* @__PURE__ */ new Set();
    this.#listeners.set(type, listeners.add(fn));
    return () => listeners.delete(fn);
  }
  list(query = {}) {
    return this.#ask(withQuery(this.#o.urls.items, query));
  }
  markRead(ids) {
    return this.#mark(this.#o.urls.read, { ids });
  }
  markUnread(ids) {
    return this.#mark(this.#o.urls.unread, { ids });
  }
  markSeen(upTo = this.cursor) {
    return this.#mark(this.#o.urls.seen, { up_to: upTo ?? 0 });
  }
  markAllRead() {
    return this.#mark(this.#o.urls.read, { up_to: this.cursor ?? 0 });
  }
  archive(ids) {
    return this.#mark(this.#o.urls.archive, { ids });
  }
  #share(key, env) {
    this.#leadership = new Leadership({ name: `sse-notify:${key}:${withQuery(this.#o.urls.stream, { topic: [...this.#o.topics].sort() })}`, env, clock: this.#o.clock, lead: () => {
      this.#held = null;
      this.#connection.start();
    }, follow: () => {
      this.#held = [];
      this.#connection.stop("idle");
      this.#set("connecting");
    }, answer: () => this.#status(), onMessage: (message) => this.#follow(message) });
    this.#leadership.start();
  }
  #status() {
    return { t: "status", state: this.state, cursor: this.cursor };
  }
  #follow(message) {
    if (message.t === "event") {
      if (this.#held) this.#held.push(message.message);
      else this.#hear(message.message);
      return;
    }
    const { state, cursor } = message;
    if (state === "unauthorized") return this.#suspend(state);
    this.#set(["open", "polling"].includes(state) ? "follower" : state);
    if (cursor !== null && cursor > (this.cursor ?? -1)) this.#catchUp();
    else this.#release();
  }
  #suspend(state) {
    const { clock } = this.#o;
    for (const timer of [this.#parkTimer, this.#pollTimer, this.#refreshTimer]) clock.clearTimeout(timer);
    this.#leadership?.stop();
    this.#leadership = null;
    this.#held = null;
    this.#connection.stop(state);
    this.#set(state);
  }
  #park() {
    const { clock, env, share } = this.#o;
    clock.clearTimeout(this.#parkTimer);
    if (!share || this.#leadership || this.state === "unauthorized" || this.state === "stopped") return;
    if (env.visible()) this.#connection.start();
    else this.#parkTimer = clock.setTimeout(() => this.#connection.stop("idle"), PARK);
  }
  #receive(message) {
    try {
      this.#take(message);
    } catch (error) {
      const bad = `${message.event} ${message.id}`;
      if (bad !== this.#bad) {
        this.#bad = bad;
        throw new SseNotifyError(`The event "${bad}" makes no sense: ${error}`);
      }
      this.#emit("error", error);
      return false;
    }
    return true;
  }
  #take(message) {
    const { event, data, id } = message;
    const take = Object.hasOwn(this.#reserved, event) ? this.#reserved[event] : null;
    if (!take && id === null) return this.#emit("event", message);
    const value = JSON.parse(data);
    if (take) take(value);
    else this.#notification(value, message);
    if (id !== null && event !== "hello" && event !== "reset") this.#advance(Number(id));
  }
  #reserved = { hello: (hello) => {
    this.#whole(hello.cursor, hello.head);
    if (hello.key && this.#o.key && hello.key !== this.#o.key) return this.#suspend("unauthorized");
    this.cursor ??= hello.cursor;
    this.#replayedTo = hello.head;
    this.#adopt(hello, hello.head);
  }, update: (update) => {
    this.#changed(update);
    this.#emit("update", update);
  }, remove: (remove) => {
    this.#changed(remove);
    this.#emit("remove", remove);
  }, ping: (ping) => {
    this.#whole(ping.cursor);
    this.#advance(ping.cursor);
  }, reset: (reset) => {
    this.#whole(reset.cursor);
    this.cursor = this.#countedTo = reset.cursor;
    this.#fresh.clear();
    this.#emit("reset", { reason: reset.reason });
    this.refresh();
  }, bye: () => {
  } };
  #notification(item, message) {
    this.#whole(item.id, item.seq);
    if (typeof item.title !== "string" || item.seq !== Number(message.id)) throw new TypeError("not a notification");
    if (item.seq <= (this.cursor ?? -1)) return;
    this.#advance(item.seq);
    this.#deliver(item);
    if (message.event !== "notification") this.#emit("event", message);
  }
  #deliver(item) {
    if (item.seq > this.#countedTo) {
      const { unread, unseen } = this.counts;
      if (item.count === 1) this.#count({ unread: unread + 1, unseen: unseen + 1 });
      else if (!this.#fresh.has(item.id)) this.refresh();
    }
    if (this.#fresh.size >= 1e3) this.#fresh.clear();
    this.#fresh.add(item.id);
    this.#emit("notification", { ...item, unread: true, unseen: true, replayed: item.seq <= this.#replayedTo });
  }
  #changed(change) {
    this.#whole(change.unread, change.unseen);
    this.#fresh.clear();
    this.#stateSeq = Math.max(this.#stateSeq ?? 0, change.state_seq ?? 0);
    this.#count(change);
  }
  #adopt(state, head) {
    this.#whole(state.unread, state.unseen);
    this.#countedTo = head;
    this.#count(state);
    const known = this.#stateSeq;
    this.#stateSeq = state.state_seq;
    if (known === void 0 || known === state.state_seq) return;
    this.#fresh.clear();
    this.#emit("reset", { reason: "state" });
  }
  async #catchUp() {
    if (this.#catching) return;
    this.#catching = true;
    const from = this.cursor;
    this.#held ??= [];
    const held = this.#held;
    try {
      const state = await this.#ask(this.#o.urls.state);
      const page = from !== null && state.cursor > from ? await this.list({ limit: PAGE }) : { items: [], next: null };
      if (this.#held !== held) return;
      const missed = page.items.filter(({ seq }) => seq !== null && seq > (from ?? 0) && seq <= state.cursor);
      this.cursor = this.#replayedTo = Math.max(state.cursor, this.cursor ?? 0);
      this.#adopt(state, state.cursor);
      if (page.next !== null && missed.length === page.items.length) this.#emit("reset", { reason: "too_many" });
      else for (const item of missed.sort((a, b) => a.seq - b.seq)) this.#deliver(item);
    } catch (error) {
      this.#emit("error", error);
      return;
    } finally {
      this.#catching = false;
    }
    if (this.#held === held) this.#release();
  }
  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const message of held) this.#hear(message);
  }
  #hear(message) {
    try {
      this.#receive(message);
    } catch (error) {
      this.#emit("error", error);
    }
  }
  async #poll() {
    const { clock } = this.#o;
    clock.clearTimeout(this.#pollTimer);
    if (!this.#connection.buffered || this.#connection.state !== "polling") return;
    await this.#catchUp();
    this.#pollTimer = clock.setTimeout(() => this.#poll(), 1e3 * Math.max(POLL, this.#pollSeconds));
  }
  #pollSeconds = 0;
  refresh() {
    const { clock, random, urls } = this.#o;
    clock.clearTimeout(this.#refreshTimer);
    this.#refreshTimer = clock.setTimeout(async () => {
      try {
        const state = await this.#ask(urls.state);
        this.#adopt(state, Math.max(state.cursor, this.#countedTo));
      } catch (error) {
        this.#emit("error", error);
      }
    }, 250 + 1750 * random());
  }
  async #ask(url, options = {}) {
    const { fetch, clock } = this.#o;
    const headers = { Accept: "application/json", ...options.headers };
    const response = await fetch(url, { credentials: "same-origin", ...options, headers });
    if (response.ok && response.redirected) return this.#suspend("unauthorized");
    if (!response.ok) {
      const error = await SseNotifyError.from(response, clock.now());
      if (error.status === 401) this.#suspend("unauthorized");
      throw error;
    }
    const answer = await response.json();
    if (answer.csrf) this.#token = answer.csrf;
    if (answer.poll) this.#pollSeconds = answer.poll;
    return answer;
  }
  async #mark(url, what) {
    const { csrf, csrfHeader, urls } = this.#o;
    const post = () => this.#ask(url, { method: "POST", keepalive: true, headers: { "Content-Type": "application/json", [csrfHeader]: this.#token || csrf() }, body: JSON.stringify({ ...what, client: this.id }) });
    const answer = await post().catch(async (error) => {
      if (error.status !== 403) throw error;
      await this.#ask(urls.state);
      return post();
    });
    this.#fresh.clear();
    this.#count(answer);
    return answer;
  }
  #whole(...numbers) {
    if (!numbers.every((n) => Number.isSafeInteger(n))) throw new TypeError("a whole number is missing");
  }
  #advance(seq) {
    if (seq > (this.cursor ?? -1)) this.cursor = seq;
  }
  #count({ unread, unseen }) {
    if (unread === this.counts.unread && unseen === this.counts.unseen) return;
    this.counts = { unread, unseen };
    this.#emit("counts", this.counts);
  }
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#emit("state", { state, since: this.#o.clock.now() });
  }
  #emit(type, value) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(value);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
};
var UNITS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
function relativeTime(moment, now, language) {
  const format = new Intl.RelativeTimeFormat(language || void 0, { numeric: "auto" });
  const seconds = Math.min(0, (moment - now) / 1e3);
  for (const [unit, size] of UNITS) if (seconds <= -size) return format.format(Math.ceil(seconds / size), unit);
  return format.format(0, "second");
}
function refreshTimes(root) {
  const language = document.documentElement.lang;
  for (const time of root.querySelectorAll("time.ssen-time")) {
    const moment = Date.parse(time.dateTime);
    if (Number.isNaN(moment)) continue;
    time.textContent = relativeTime(moment, Date.now(), language);
  }
}
var LEVELS = ["debug", "info", "success", "warning", "error"];
function part(root, name) {
  return root.querySelector(`[data-ssen="${name}"]`);
}
function levelOf({ level }) {
  return LEVELS.includes(level) ? level : "info";
}
function fillItem(element, item, { external = false, token = "" } = {}) {
  const text = (name, value) => {
    const place = part(element, name);
    if (place) place.textContent = value ? String(value) : "";
    place?.toggleAttribute("hidden", !value);
  };
  element.dataset.ssenItem = String(item.id);
  if (item.seq != null) element.dataset.seq = String(item.seq);
  element.dataset.level = levelOf(item);
  setData(element, "category", item.category);
  setData(element, "expires", item.expires_at);
  element.toggleAttribute("data-unread", Boolean(item.unread));
  element.toggleAttribute("data-unseen", Boolean(item.unseen));
  fillTitle(element, item.title, safeUrl(item.url, document.baseURI, external));
  text("body", item.body);
  text("category", item.category);
  text("count", item.count > 1 && `×${item.count}`);
  for (const name of element.querySelectorAll('[data-ssen="name"]')) name.textContent = item.title;
  for (const button of element.querySelectorAll("button[data-ssen-mark]")) button.setAttribute("value", String(item.id));
  fillTime(element, item.created_at);
  fillImage(element, safeUrl(item.icon, document.baseURI, external));
  fillProgress(element, item);
  fillActions(element, item.actions, external, token);
}
function setData(element, name, value) {
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}
function fillTitle(element, title, href) {
  const old = part(element, "title");
  if (!old) return;
  const link = document.createElement(href ? "a" : "span");
  link.className = old.className;
  link.dataset.ssen = "title";
  link.textContent = title;
  if (href) {
    link.setAttribute("href", href);
    link.setAttribute("rel", "noopener noreferrer");
  }
  const focused = document.activeElement === old;
  old.replaceWith(link);
  if (focused) link.focus();
}
function fillTime(element, created) {
  const time = part(element, "time");
  const moment = Date.parse(created);
  if (!time || Number.isNaN(moment)) return;
  const language = document.documentElement.lang || void 0;
  time.dateTime = created;
  time.title = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" }).format(moment);
  time.textContent = relativeTime(moment, Date.now(), language);
}
function fillImage(element, source) {
  element.querySelector(".ssen-image")?.remove();
  if (!source) return;
  const image = document.createElement("img");
  image.className = "ssen-image";
  image.alt = "";
  image.referrerPolicy = "no-referrer";
  image.src = source;
  element.querySelector(".ssen-level")?.append(image);
}
function fillProgress(element, item) {
  const progress = item.data?.progress;
  let bar = element.querySelector(".ssen-progress");
  if (!progress || typeof progress !== "object") {
    bar?.remove();
    return;
  }
  if (!bar) {
    bar = document.createElement("progress");
    bar.className = "ssen-progress";
    bar.max = 100;
    part(element, "body")?.after(bar);
  }
  bar.setAttribute("aria-label", item.title);
  if (Number.isFinite(progress.percent)) bar.value = progress.percent;
  else bar.removeAttribute("value");
}
function fillActions(element, actions, external, token) {
  const made = [];
  for (const { label, url, method } of Array.isArray(actions) ? actions : []) {
    const href = safeUrl(url, document.baseURI, external);
    if (!href) continue;
    const isForm = String(method).toUpperCase() === "POST";
    const control = document.createElement(isForm ? "button" : "a");
    control.className = "ssen-action";
    control.textContent = String(label);
    if (isForm) {
      const form = document.createElement("form");
      form.method = "post";
      form.action = href;
      if (safeUrl(href, document.baseURI)) form.append(hidden("csrfmiddlewaretoken", token));
      form.append(control);
      made.push(form);
    } else {
      control.setAttribute("href", href);
      control.setAttribute("rel", "noopener noreferrer");
      made.push(control);
    }
  }
  const place = part(element, "actions");
  place?.replaceChildren(...made);
  place?.toggleAttribute("hidden", made.length === 0);
}
function hidden(name, value) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = name;
  input.value = value;
  return input;
}
var AT_MOST = 100;
var ItemList = class {
  #held = [];
  constructor(root, options) {
    this.options = options;
    this.list = part(root, "list");
    this.empty = part(root, "empty");
    this.more = part(root, "new");
    this.template = part(root, "item");
  }
  get items() {
    return [...this.list?.children ?? []].filter((item) => item.dataset.ssenItem);
  }
  find(id) {
    return this.items.find((item) => item.dataset.ssenItem === String(id));
  }
  add(item) {
    const { list } = this;
    const busy = list && (list.scrollTop > 8 || list.contains(document.activeElement));
    if (busy && !this.find(item.id)) {
      this.#held = [...this.#held.filter(({ id }) => id !== item.id), item];
      this.#tellHeld();
    } else this.#put(item, !busy);
  }
  release() {
    const held = this.#held;
    this.#held = [];
    this.#tellHeld();
    for (const item of held) this.#put(item, true);
    if (this.list) this.list.scrollTop = 0;
  }
  replace({ items, next }) {
    this.#held = [];
    this.#tellHeld();
    const ids = new Set(items.map(({ id }) => String(id)));
    const oldest = next === null ? -1 : Math.min(...items.map(({ id }) => id));
    for (const element of this.items) {
      const id = String(element.dataset.ssenItem);
      if (!ids.has(id) && Number(id) >= oldest) this.remove(id);
    }
    let before = this.list?.firstElementChild ?? null;
    for (const item of items) {
      const element = this.find(item.id) ?? this.#make();
      if (!element) return;
      fillItem(element, item, this.options);
      if (element === before) before = element.nextElementSibling;
      else this.list?.insertBefore(element, before);
    }
    this.#tidy();
  }
  remove(id) {
    this.#held = this.#held.filter((item) => String(item.id) !== String(id));
    this.#tellHeld();
    const element = this.find(id);
    if (!element) return;
    if (element.contains(document.activeElement)) {
      const next = element.nextElementSibling ?? element.previousElementSibling;
      const goal = next?.querySelector("a, button") ?? element.closest(".ssen-panel")?.querySelector(".ssen-heading");
      element.remove();
      if (goal instanceof HTMLElement) goal.focus();
    } else element.remove();
    this.#tidy();
  }
  mark({ ids, up_to: upTo, set }) {
    const chosen = new Set(ids?.map(String));
    const isMeant = (id, seq) => ids ? chosen.has(id) : seq !== void 0 && Number(seq) <= Number(upTo);
    for (const item of this.#held) {
      if (!isMeant(String(item.id), item.seq)) continue;
      if (set === "read") item.unread = item.unseen = false;
      else if (set === "unread") item.unread = true;
      else if (set === "seen") item.unseen = false;
      else this.remove(item.id);
    }
    for (const element of this.items) {
      if (!isMeant(String(element.dataset.ssenItem), element.dataset.seq)) continue;
      if (set === "archived") this.remove(String(element.dataset.ssenItem));
      else if (set === "seen") element.removeAttribute("data-unseen");
      else {
        element.toggleAttribute("data-unread", set === "unread");
        if (set === "read") element.removeAttribute("data-unseen");
      }
    }
  }
  expire() {
    const expired = this.items.filter((item) => Date.parse(item.dataset.expires ?? "") <= Date.now());
    for (const item of expired) this.remove(String(item.dataset.ssenItem));
    return expired.length;
  }
  clear() {
    this.#held = [];
    this.#tellHeld();
    this.list?.replaceChildren();
    this.#tidy();
  }
  #put(item, onTop) {
    const known = this.find(item.id);
    const element = known ?? this.#make();
    if (!element) return;
    fillItem(element, item, this.options);
    if (!known || onTop && this.list?.firstElementChild !== element) {
      this.list?.prepend(element);
      element.classList.add("ssen-fresh");
    }
    this.#tidy();
  }
  #make() {
    const element = this.template?.content.firstElementChild?.cloneNode(true);
    return element instanceof HTMLElement ? element : void 0;
  }
  #tidy() {
    for (const item of this.items.slice(AT_MOST)) item.remove();
    this.empty?.toggleAttribute("hidden", this.items.length > 0);
  }
  #tellHeld() {
    if (!this.more) return;
    this.more.hidden = this.#held.length === 0;
    this.more.textContent = (this.more.dataset.label ?? "{count}").replace("{count}", String(this.#held.length));
  }
};
var EDGE = 8;
var Panel = class {
  #ended = new AbortController();
  #open = false;
  constructor(panel, bell, onToggle) {
    this.panel = panel;
    this.bell = bell;
    this.onToggle = onToggle;
    const { signal } = this.#ended;
    bell.setAttribute("aria-expanded", "false");
    bell.setAttribute("aria-controls", panel.id);
    if ("showPopover" in panel) {
      bell.popoverTargetElement = panel;
      panel.addEventListener("beforetoggle", (event) => event.newState === "open" && this.#place(), { signal });
      panel.addEventListener("toggle", (event) => this.#toggled(event.newState === "open"), { signal });
    } else {
      bell.addEventListener("click", () => this.toggle(!this.#open), { signal });
      document.addEventListener("pointerdown", (event) => this.#leave(event), { signal });
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.#open && this.toggle(false), { signal });
    }
    addEventListener("resize", () => this.#place(), { signal });
    addEventListener("scroll", () => this.#open && this.#place(), { signal, passive: true, capture: true });
  }
  get isOpen() {
    return this.#open;
  }
  toggle(open) {
    if (open === this.#open) return;
    if ("showPopover" in this.panel) {
      if (open) this.panel.showPopover();
      else this.panel.hidePopover();
    } else {
      this.#place();
      this.#toggled(open);
      if (!open) this.bell.focus();
    }
  }
  stop() {
    this.toggle(false);
    this.#ended.abort();
  }
  #toggled(open) {
    this.#open = open;
    this.panel.classList.toggle("ssen-open", open);
    this.bell.setAttribute("aria-expanded", String(open));
    this.onToggle(open);
  }
  #leave(event) {
    const target = event.target;
    if (this.#open && !this.panel.contains(target) && !this.bell.contains(target)) this.toggle(false);
  }
  #place() {
    const { bell, panel } = this;
    const box = bell.getBoundingClientRect();
    const width = Math.min(420, innerWidth - 2 * EDGE);
    const isRtl = getComputedStyle(bell).direction === "rtl";
    const wanted = isRtl ? box.left : box.right - width;
    const left = Math.max(EDGE, Math.min(wanted, innerWidth - width - EDGE));
    const below = innerHeight - box.bottom;
    panel.style.setProperty("--ssen-left", `${left}px`);
    panel.style.setProperty("--ssen-width", `${width}px`);
    const up = below < 240 && box.top > below;
    panel.style.setProperty("--ssen-top", up ? "auto" : `${box.bottom + EDGE}px`);
    panel.style.setProperty("--ssen-bottom", up ? `${innerHeight - box.top + EDGE}px` : "auto");
    panel.style.setProperty("--ssen-room", `${(up ? box.top : below) - 2 * EDGE}px`);
  }
};
var STAYS = 8e3;
var AT_MOST2 = 3;
var Toasts = class {
  #shown = /* @__PURE__ */ new Map();
  constructor(region, template) {
    this.region = region;
    this.template = template;
    region?.addEventListener("pointerenter", () => this.#pause());
    region?.addEventListener("pointerleave", () => this.#resume());
    region?.addEventListener("focusin", () => this.#pause());
    region?.addEventListener("focusout", () => this.#resume());
    region?.addEventListener("keydown", (event) => event.key === "Escape" && this.clear());
  }
  show(item, { external }) {
    const toast = this.template?.content.firstElementChild?.cloneNode(true);
    if (!(toast instanceof HTMLElement) || !this.region) return;
    this.dismiss(item.id);
    toast.dataset.ssenToast = String(item.id);
    toast.dataset.level = levelOf(item);
    fillTitle(toast, item.title, safeUrl(item.url, document.baseURI, external));
    const body = part(toast, "body");
    if (body) body.textContent = item.body;
    body?.toggleAttribute("hidden", !item.body);
    part(toast, "dismiss")?.addEventListener("click", () => this.#remove(toast));
    this.region.append(toast);
    if (this.region.popover) this.region.togglePopover(true);
    this.#shown.set(toast, void 0);
    while (this.#shown.size > AT_MOST2) this.#remove(this.#shown.keys().next().value);
    this.#resume();
  }
  dismiss(id) {
    for (const toast of this.#shown.keys()) if (toast.dataset.ssenToast === String(id)) this.#remove(toast);
  }
  clear() {
    for (const toast of this.#shown.keys()) this.#remove(toast);
  }
  #remove(toast) {
    clearTimeout(this.#shown.get(toast));
    this.#shown.delete(toast);
    const focused = toast.contains(document.activeElement);
    toast.remove();
    const next = this.#shown.keys().next().value;
    if (!next && this.region?.popover && this.region.isConnected) this.region.hidePopover();
    if (focused) part(next ?? this.region?.parentElement, next ? "dismiss" : "bell")?.focus();
  }
  #pause() {
    for (const [toast, timer] of this.#shown) {
      clearTimeout(timer);
      this.#shown.set(toast, void 0);
    }
  }
  #resume() {
    if (this.region?.matches(":hover, :focus-within")) return;
    for (const [toast, timer] of this.#shown) {
      if (timer === void 0) this.#shown.set(toast, setTimeout(() => this.#expire(toast), STAYS));
    }
  }
  #expire(toast) {
    if (document.visibilityState === "hidden") this.#shown.set(toast, setTimeout(() => this.#expire(toast), STAYS));
    else this.#remove(toast);
  }
};
var TELL_AFTER = 1e4;
var SEEN_AFTER = 1e3;
var TICK2 = 3e4;
var MOST_SHOWN = 99;
var clients = /* @__PURE__ */ new Map();
var Base = globalThis.HTMLElement ?? class {
};
var SseNotifyElement = class extends Base {
  client;
  #undo = [];
  #panel;
  #seenTimer;
  #statusTimer;
  connectedCallback() {
    const { dataset } = this;
    if (!dataset.stream || this.client) return;
    const external = "external" in dataset;
    const token = this.querySelector('input[name="csrfmiddlewaretoken"]')?.getAttribute("value") ?? "";
    const client = this.#share(token);
    const list = new ItemList(this, { external, token });
    const toasts = new Toasts(part(this, "toasts"), part(this, "toast"));
    const announcer = new Announcer(part(this, "live"));
    this.#upgradeBell(toasts);
    refreshTimes(this);
    const tick = setInterval(() => {
      if (document.visibilityState === "hidden") return;
      refreshTimes(this);
      if (list.expire() > 0) client.refresh();
    }, TICK2);
    const ended = new AbortController();
    this.addEventListener("click", (event) => this.#clicked(event, list, toasts), { signal: ended.signal });
    this.addEventListener("submit", (event) => this.#submitted(event, list), { signal: ended.signal });
    document.addEventListener("visibilitychange", () => this.#look(), { signal: ended.signal });
    this.#undo = [() => clearInterval(tick), () => ended.abort(), () => announcer.stop(), () => toasts.clear(), client.on("notification", (item) => {
      list.add(item);
      if (!this.#tell("notification", item) || item.silent) return;
      if (this.#panel?.isOpen) this.#look();
      else if (dataset.toasts === "on" || dataset.toasts === "urgent" && ["warning", "error"].includes(item.level)) {
        if (!item.replayed) toasts.show(item, { external });
      }
      if (!item.replayed) announcer.announce(item.title);
    }), client.on("reset", () => this.#attempt(client.list({ limit: Number(dataset.limit) || 20 }).then((page) => list.replace(page)))), client.on("update", (update) => {
      list.mark(update);
      if (update.set === "read") for (const id of update.ids ?? []) toasts.dismiss(id);
      this.#tell("update", update);
    }), client.on("remove", (update) => {
      for (const id of update.ids) list.remove(id);
      this.#tell("update", update);
    }), client.on("counts", (counts) => {
      this.#showCounts();
      this.#tell("counts", counts);
    }), client.on("state", (state) => {
      if (state.state === "unauthorized") {
        list.clear();
        toasts.clear();
        announcer.stop();
        this.#showCounts();
      }
      this.#showState();
      this.#tell("state", state);
    }), client.on("event", (message) => this.#tell("event", message))];
    const more = () => {
      list.release();
      part(this, "heading")?.focus();
    };
    part(this, "new")?.addEventListener("click", more, { signal: ended.signal });
    this.#showCounts();
    this.#showState();
    client.start();
  }
  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
    clearTimeout(this.#seenTimer);
    clearTimeout(this.#statusTimer);
    this.#panel?.stop();
    this.#panel = void 0;
    const shared = clients.get(this.#name);
    this.client = void 0;
    if (shared && --shared.users === 0) {
      clients.delete(this.#name);
      shared.client.stop();
    }
  }
  open() {
    this.#panel?.toggle(true);
  }
  close() {
    this.#panel?.toggle(false);
  }
  get #name() {
    return `${this.dataset.key} ${this.dataset.stream}`;
  }
  #share(token) {
    const { dataset } = this;
    let shared = clients.get(this.#name);
    if (!shared) {
      const client = new SseNotifyClient({ urls: dataset, key: dataset.key ?? "", cursor: dataset.cursor ? Number(dataset.cursor) : null, stateSeq: dataset.stateSeq ? Number(dataset.stateSeq) : null, unread: Number(dataset.countUnread), unseen: Number(dataset.countUnseen), csrf: () => token, csrfHeader: dataset.csrfHeader ?? "X-CSRFToken" });
      shared = { client, users: 0 };
      clients.set(this.#name, shared);
    }
    shared.users++;
    this.client = shared.client;
    return shared.client;
  }
  #upgradeBell(toasts) {
    const panel = part(this, "panel");
    let bell = part(this, "bell");
    if (!panel || !bell) return;
    if (bell.localName === "a") {
      const button = document.createElement("button");
      for (const { name, value } of bell.attributes) if (name !== "href") button.setAttribute(name, value);
      button.type = "button";
      button.append(...bell.childNodes);
      bell.replaceWith(button);
      bell = button;
    }
    this.#panel = new Panel(panel, bell, (open) => {
      if (open) {
        part(this, "heading")?.focus({ preventScroll: true });
        toasts.clear();
      }
      this.#look();
    });
  }
  #look() {
    clearTimeout(this.#seenTimer);
    if (!this.#panel?.isOpen || document.visibilityState === "hidden" || !this.client?.counts.unseen) return;
    this.#seenTimer = setTimeout(() => this.#attempt(this.client?.markSeen()), SEEN_AFTER);
  }
  #clicked(event, list, toasts) {
    const target = event.target;
    const item = target.closest("[data-ssen-item], [data-ssen-toast]");
    const id = Number(item?.dataset.ssenItem ?? item?.dataset.ssenToast);
    if (!item || !id || target.closest("[data-ssen-mark], [data-ssen=dismiss]")) return;
    const link = target.closest("a");
    if (target.closest("button") || !link && "ssenToast" in item.dataset) return;
    const detail = { id, url: link?.href ?? null };
    if (!this.#tell("click", detail)) event.preventDefault();
    if (list.find(id)?.hasAttribute("data-unread")) {
      list.mark({ ids: [id], set: "read" });
      this.#attempt(this.client?.markRead([id]));
    }
    toasts.dismiss(id);
  }
  #submitted(event, list) {
    const { client } = this;
    const { submitter } = event;
    if (!client || !(submitter instanceof HTMLElement)) return;
    const mark = submitter.dataset.ssenMark;
    const id = Number(submitter.getAttribute("value"));
    if (submitter.dataset.ssen === "all") {
      list.release();
      list.mark({ up_to: client.cursor ?? 0, set: "read" });
      this.#attempt(client.markAllRead());
      part(this, "heading")?.focus();
    } else if (mark === "read" || mark === "unread") {
      list.mark({ ids: [id], set: mark });
      const other = list.find(id)?.querySelector(`[data-ssen-mark="${mark === "read" ? "unread" : "read"}"]`);
      if (other instanceof HTMLElement) other.focus();
      this.#attempt(mark === "read" ? client.markRead([id]) : client.markUnread([id]));
    } else if (mark === "archive") {
      list.remove(id);
      this.#attempt(client.archive([id]));
    } else return;
    event.preventDefault();
  }
  #attempt(promise) {
    promise?.catch(() => this.#showStatus("failed"));
  }
  #showCounts() {
    if (!this.client) return;
    const { counts, state } = this.client;
    const { unread, unseen } = state === "unauthorized" ? { unread: 0, unseen: 0 } : counts;
    const count = this.dataset.badge === "unseen" ? unseen : unread;
    const badge = part(this, "badge");
    const bell = part(this, "bell");
    if (badge) {
      badge.textContent = count > MOST_SHOWN ? `${MOST_SHOWN}+` : String(count);
      badge.hidden = count === 0;
    }
    bell?.setAttribute("aria-label", (bell.dataset.label ?? "{count}").replace("{count}", String(count)));
    const all = part(this, "all");
    if (all) all.hidden = unread === 0;
    for (const place of document.querySelectorAll("[data-ssen-unread-count]")) place.textContent = String(unread);
  }
  #showState() {
    const state = this.client?.state ?? "idle";
    this.dataset.connection = state;
    clearTimeout(this.#statusTimer);
    this.#statusTimer = void 0;
    if (state === "unauthorized" || state === "stopped") this.#showStatus(state);
    else if (["open", "polling", "follower"].includes(state)) this.#showStatus("");
    else this.#statusTimer = setTimeout(() => this.#showStatus(state === "offline" ? "offline" : "connecting"), TELL_AFTER);
  }
  #showStatus(name) {
    const status = part(this, "status");
    if (!status) return;
    status.textContent = name ? status.dataset[name] ?? "" : "";
    status.hidden = !name;
  }
  #tell(type, detail) {
    return this.dispatchEvent(new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }));
  }
};
if (globalThis.document) {
  if (!customElements.get("sse-notify")) customElements.define("sse-notify", SseNotifyElement);
  refreshTimes(document);
}
export { EventStreamParser, SseNotifyClient, SseNotifyElement, SseNotifyError, safeUrl };
