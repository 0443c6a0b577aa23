/**
 * The states of a client in the numbers of an EventSource; all others are 0, connecting.
 *
 * @type {Record<string, number>}
 */
const STATES = { open: 1, polling: 1, follower: 1, stopped: 2, unauthorized: 2 };

/**
 * Return whether events come (1), may come soon (0), or come only after a new login or `start()`
 * (2).
 *
 * @param {string} state
 */
export const readyStateOf = (state) => STATES[state] ?? 0;
