/**
 * What surrounds a client: the page, the network, the clock. Tests replace it, and Node has no
 * page.
 */

import { TIMER_MAX } from "./limits.js";

/**
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds of a clock that runs while the machine sleeps.
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
 * @property {(type: string, fn: (event: any) => void) => () => void} on Listens to an event of the
 *   page; returns what ends it.
 * @property {Pick<LockManager, "request"> | undefined} locks Web Locks; only secure contexts have
 *   them.
 * @property {(name: string) => Channel} channel Opens a channel to the other tabs.
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, Math.min(ms, TIMER_MAX)),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** @returns {Environment} */
export function pageEnvironment() {
  const page = globalThis.document;
  return {
    visible: () => page?.visibilityState !== "hidden",
    online: () => globalThis.navigator?.onLine !== false,
    on(type, fn) {
      // All of them reach the window. In Node, which has none, nothing happens.
      globalThis.addEventListener?.(type, fn);
      return () => globalThis.removeEventListener?.(type, fn);
    },
    // Node has locks too, but no tabs that share a stream.
    locks: page && navigator.locks,
    channel: (name) => new BroadcastChannel(name),
  };
}
