/**
 * One stream for all tabs of a browser: a Web Lock says which tab has it, and that tab, the leader,
 * passes the events on to the others through a BroadcastChannel.
 *
 * On HTTP/1.1 a browser opens six connections to a server. With a stream in each of six tabs the
 * seventh would not even load.
 *
 *     lock granted            lead: open the stream, pass on what comes
 *     lock held elsewhere     follow: ask the leader at the start, when the page becomes visible,
 *                             and every ten seconds while it is visible
 *     two questions without   the leader is frozen, and would keep the lock for ever: steal it
 *     an answer
 *     our lock was stolen     close the stream, follow
 *
 * Only a visible tab goes on asking and steals the lock, as timers of hidden tabs are late. A
 * hidden leader answers, as messages are not late.
 */

/** @import { Channel, Clock, Environment } from "./environment.js" */
import { ANSWER_WITHIN, ASK_EVERY, MISSES } from "./limits.js";

/**
 * @param {object} options
 * @param {string} options.name Tells users and streams apart: a tab never hears another's leader.
 * @param {Environment} options.env
 * @param {Clock} options.clock
 * @param {() => void} options.lead Opens the stream.
 * @param {() => void} options.follow Closes it. The leader's messages come through `onMessage`.
 * @param {(visible: boolean) => object} options.answer Returns the leader's answer to a tab, which
 *   is `visible` or not.
 * @param {(message: any) => void} options.onMessage
 */
export function createLeadership({ name, env, clock, lead, follow, answer, onMessage }) {
  /** @type {Channel | null} */
  let channel = null;
  /** Aborted when the lock is no longer wanted. @type {AbortController | null} */
  let request = null;
  let misses = 0;
  /** @type {any} */
  let timer;
  let stopWatching = () => {};

  const self = {
    leads: false,

    start() {
      try {
        channel = env.channel(name);
      } catch {
        return becomeLeader(); // a sandboxed frame has no channels
      }
      channel.onmessage = ({ data }) => receive(data);
      stopWatching = env.on("visibilitychange", () => {
        misses = 0;
        ask();
      });
      becomeFollower();
    },

    stop() {
      stopWatching();
      clock.clearTimeout(timer);
      const old = request;
      request = null; // before the abort, which would count as a theft otherwise
      self.leads = false;
      old?.abort();
      channel?.close();
      channel = null;
    },

    /** Send a message to all other tabs, if this one leads. @param {object} message */
    relay(message) {
      if (self.leads) channel?.postMessage(message);
    },
  };

  function becomeLeader() {
    self.leads = true;
    clock.clearTimeout(timer);
    lead();
  }

  function becomeFollower() {
    follow();
    requestLock(false);
    ask();
  }

  /** @param {boolean} steal */
  function requestLock(steal) {
    const previous = request;
    const mine = new AbortController();
    request = mine;
    previous?.abort();
    const hold = () => {
      if (request !== mine) return;
      becomeLeader();
      return new Promise((resolve) => mine.signal.addEventListener("abort", resolve));
    };
    // The standard allows no signal with `steal`, which is granted at once.
    env.locks?.request(name, steal ? { steal } : { signal: mine.signal }, hold).catch((error) => {
      if (request !== mine) return;
      if (self.leads) {
        self.leads = false; // stolen: this tab was frozen for a while
        becomeFollower();
      } else if (error.name !== "AbortError") {
        becomeLeader(); // locks are forbidden here
      }
    });
  }

  function ask() {
    clock.clearTimeout(timer);
    if (!channel || self.leads) return;
    const visible = env.visible();
    channel.postMessage({ t: "who", seen: visible });
    if (!visible) return;
    timer = clock.setTimeout(() => {
      if (++misses < MISSES) return ask();
      misses = 0;
      requestLock(true);
    }, ANSWER_WITHIN);
  }

  /** @param {any} message */
  function receive(message) {
    if (message.t === "who") return self.leads && self.relay(answer(message.seen));
    if (self.leads) return; // from a leader that does not know yet that its lock was stolen
    misses = 0;
    clock.clearTimeout(timer);
    timer = clock.setTimeout(() => env.visible() && ask(), ASK_EVERY);
    onMessage(message);
  }

  return self;
}
