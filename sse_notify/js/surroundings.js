/** What surrounds a client: the page, the network, the clock. All of it can be replaced in tests, and none is needed in Node. */

/**
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds of the wall clock, which also runs while the machine sleeps.
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} Channel The part of BroadcastChannel that is used.
 * @property {(message: any) => void} postMessage
 * @property {() => void} close
 * @property {((event: any) => void) | null} onmessage
 */

/**
 * @typedef {object} Environment
 * @property {() => boolean} visible Whether the user can see the page.
 * @property {() => boolean} online Whether the browser thinks that it is online.
 * @property {(type: string, fn: (event: any) => void) => () => void} on Listen to an event of the page; returns how to stop.
 * @property {Pick<LockManager, "request"> | undefined} locks Web Locks; only secure contexts have them.
 * @property {(name: string) => Channel} channel Open a channel to the other tabs.
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** @returns {Environment} */
export function pageEnvironment() {
  const page = globalThis.document;
  return {
    visible: () => page?.visibilityState !== "hidden",
    online: () => globalThis.navigator?.onLine !== false,
    on(type, fn) {
      const target = type === "visibilitychange" ? page : globalThis;
      // Node has no page, and nothing of this happens to it.
      if (!page) return () => {};
      target.addEventListener(type, fn);
      return () => target.removeEventListener(type, fn);
    },
    // Node has locks and channels too, but no tabs to share a stream with.
    locks: page && navigator.locks,
    channel: (name) => new BroadcastChannel(name),
  };
}
