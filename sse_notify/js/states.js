/** What the states of a client come to, by the numbers of an EventSource; all that are not here mean that it is connecting. @type {Record<string, number>} */
const STATES = { open: 1, polling: 1, follower: 1, stopped: 2, unauthorized: 2 };

/** Whether events come (1), may come (0), or nothing but a new login, or the project, brings them (2). @param {string} state */
export const readyStateOf = (state) => STATES[state] ?? 0;
