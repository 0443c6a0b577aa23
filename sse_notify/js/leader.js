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

import { ANSWER_WITHIN, ASK_EVERY, MISSES } from "./limits.js";

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
export function createLeadership({ name, env, clock, lead, follow, answer, onMessage }) {
  /** @type {import("./surroundings.js").Channel | null} */
  let channel = null;
  /** @type {AbortController | null} */
  let request = null;
  let misses = 0;
  /** @type {any} */
  let timer;
  let stopWatching = () => {};

  const self = {
    leading: false,

    start() {
      try {
        channel = env.channel(name);
      } catch {
        return rule(); // a sandboxed frame has no channels
      }
      channel.onmessage = ({ data }) => hear(data);
      stopWatching = env.on("visibilitychange", () => {
        misses = 0;
        ask();
      });
      follow();
      queue(false);
      ask();
    },

    stop() {
      stopWatching();
      clock.clearTimeout(timer);
      const old = request;
      request = null; // before the abort: it is ours, not a theft
      self.leading = false;
      old?.abort();
      channel?.close();
      channel = null;
    },

    /** Tell all other tabs. @param {object} message */
    post(message) {
      if (self.leading) channel?.postMessage(message);
    },
  };

  function rule() {
    self.leading = true;
    clock.clearTimeout(timer);
    lead();
  }

  /** @param {boolean} steal */
  function queue(steal) {
    const previous = request;
    const mine = new AbortController();
    request = mine;
    previous?.abort();
    const hold = () => {
      if (request !== mine) return;
      rule();
      return new Promise((resolve) => mine.signal.addEventListener("abort", resolve));
    };
    // The standard allows no signal for a request that steals; it is granted at once anyway.
    env.locks?.request(name, steal ? { steal } : { signal: mine.signal }, hold).catch((error) => {
      if (request !== mine) return;
      if (self.leading) {
        self.leading = false; // stolen: this tab was frozen for a while
        follow();
        queue(false);
        ask();
      } else if (error.name !== "AbortError") {
        rule(); // locks are forbidden here
      }
    });
  }

  function ask() {
    clock.clearTimeout(timer);
    if (!channel || self.leading) return;
    const seen = env.visible();
    channel.postMessage({ t: "who", seen });
    if (!seen) return;
    timer = clock.setTimeout(() => {
      if (++misses < MISSES) return ask();
      misses = 0;
      queue(true);
    }, ANSWER_WITHIN);
  }

  /** @param {any} message */
  function hear(message) {
    if (message.t === "who") return self.leading && self.post(answer(message.seen));
    if (self.leading) return; // said by a leader that does not know yet that it was deposed
    misses = 0;
    clock.clearTimeout(timer);
    timer = clock.setTimeout(() => env.visible() && ask(), ASK_EVERY);
    onMessage(message);
  }

  return self;
}
