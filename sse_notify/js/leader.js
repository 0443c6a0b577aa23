/**
 * One stream for all tabs of a browser: a Web Lock says which tab has it, a BroadcastChannel carries what it hears to the others.
 *
 * On HTTP/1.1 a browser opens six connections to a server, so that with a stream in each of six tabs the seventh would not even load.
 *
 *     lock granted            lead: open the stream, pass on what comes
 *     lock held elsewhere     follow: ask "who?" at the start, when the page is seen, and every ten seconds while it is
 *     no answer, twice        the leader is frozen or gone mad: steal the lock. The lock alone would be held for ever
 *     our lock was stolen     close the stream, follow
 *
 * Only a visible tab goes on asking and steals, as timers of hidden ones are late; a hidden leader answers, as messages are not.
 */

const ASK_EVERY = 10_000; // ms
const ANSWER_WITHIN = 750; // ms; twice that, and what a new stream takes, is to be less than 2 s
const MISSES = 2;

export class Leadership {
  leading = false;
  #o;
  /** @type {import("./surroundings.js").Channel | null} */
  #channel = null;
  /** @type {AbortController | null} */
  #request = null;
  /** @type {(() => void) | null} */
  #release = null;
  #misses = 0;
  /** @type {any} */
  #timer = null;
  /** @type {(() => void)[]} */
  #off = [];

  /**
   * @param {object} options
   * @param {string} options.name Tells users and streams apart: a tab must never hear another user's leader.
   * @param {import("./surroundings.js").Environment} options.env
   * @param {import("./surroundings.js").Clock} options.clock
   * @param {() => void} options.lead Open the stream.
   * @param {() => void} options.follow Close it; what the leader says comes through `onMessage`.
   * @param {(seen: boolean) => object} options.answer What a leader tells a tab that asks; `seen`: the user can see that tab.
   * @param {(message: any) => void} options.onMessage Called with what the leader posts, while following.
   */
  constructor(options) {
    this.#o = options;
  }

  start() {
    const { name, env, follow, lead } = this.#o;
    try {
      this.#channel = env.channel(name);
    } catch {
      // A sandboxed frame has no channels.
      this.leading = true;
      return lead();
    }
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#off = ["visibilitychange", "resume"].map((type) =>
      env.on(type, () => {
        this.#misses = 0;
        this.#ask();
      }),
    );
    follow();
    this.#queue(false);
    this.#ask();
  }

  stop() {
    for (const off of this.#off.splice(0)) off();
    this.#o.clock.clearTimeout(this.#timer);
    const request = this.#request;
    this.#request = null; // before the abort: it is ours, not a theft
    this.leading = false;
    request?.abort();
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
  }

  /** Tell all other tabs. @param {object} message */
  post(message) {
    if (this.leading) this.#channel?.postMessage(message);
  }

  /** @param {boolean} steal */
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
      return /** @type {Promise<void>} */ (
        new Promise((resolve) => {
          this.#release = resolve;
        })
      );
    };
    // The standard allows no signal for a request that steals; it is granted at once anyway.
    env.locks?.request(name, steal ? { steal } : { signal: request.signal }, hold).catch((error) => {
      if (this.#request !== request) return;
      if (this.leading) {
        this.leading = false; // stolen: this tab was frozen for a while
        this.#release = null;
        follow();
        this.#queue(false);
        this.#ask();
      } else if (error.name !== "AbortError") {
        this.leading = true; // locks are forbidden here
        lead();
      }
    });
  }

  #ask() {
    const { clock, env } = this.#o;
    clock.clearTimeout(this.#timer);
    if (!this.#channel || this.leading) return;
    const seen = env.visible();
    this.#channel.postMessage({ t: "who", seen });
    if (!seen) return;
    this.#timer = clock.setTimeout(() => {
      this.#misses += 1;
      if (this.#misses < MISSES) return this.#ask();
      this.#misses = 0;
      this.#queue(true);
    }, ANSWER_WITHIN);
  }

  /** @param {any} message */
  #hear(message) {
    const { clock, env, answer, onMessage } = this.#o;
    if (message.t === "who") return this.leading && this.post(answer(message.seen));
    if (this.leading) return; // said by a leader that does not know yet that it was deposed
    this.#misses = 0;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => env.visible() && this.#ask(), ASK_EVERY);
    onMessage(message);
  }
}
