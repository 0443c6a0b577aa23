/**
 * The browser's own EventSource as the transport of a client: the developer tools list its events,
 * and a polyfill can take its place. The client opens and closes each connection, so its backoff,
 * its cursor and its watch over silence are the same as with `fetch`.
 *
 * An EventSource ignores events whose names it does not listen to, and the field `topic`. So the
 * server sends `next` before each event that has a topic, or a name that is not below: it contains
 * both. Do not add a name: servers and scripts of two versions may meet.
 */

const NAMES = "hello notification update remove ping reset lost bye progress message next".split(
  " ",
);

/**
 * Do for a stream what `fetch` does. Where the EventSource cannot be opened, `fetch` tells why.
 *
 * @param {string} address
 * @param {any} init
 * @param {typeof globalThis.fetch} [get] The client's, as the project may have another one.
 * @returns {Promise<Response>}
 */
export function open(address, init, get = fetch) {
  const { signal } = init;
  const source = new EventSource(
    `${address}${address.includes("?") ? "&" : "?"}transport=eventsource`,
  );
  /** Blocks that have not been read; `undefined` ends the stream. @type {(string | undefined)[]} */
  const blocks = [];
  let lastEventId = "";
  /** What the last `next` said. @type {{event?: string, topic?: string}} */
  let next = {};
  let wake = () => {};
  let hasOpened = false;

  /** @param {string} [block] */
  const put = (block) => {
    blocks.push(block);
    wake();
  };

  /**
   * Whether the server sent it: its events may be called "open" and "error", too.
   *
   * @param {Event} event
   */
  const isMessage = (event) => "data" in event;

  /** @param {MessageEvent} message */
  const pass = (message) => {
    const { type, data, lastEventId: id } = message;
    if (!isMessage(message)) return;
    if (type === "next" && next.event !== "next") {
      next = JSON.parse(data);
      hear(/** @type {string} */ (next.event));
      return;
    }
    const lines = [`event: ${type}`, `data: ${data.replaceAll("\n", "\ndata: ")}`];
    if (next.topic) lines.push(`topic: ${next.topic}`);
    // An event without an id comes with that of the event before.
    if (id !== lastEventId) lines.push(`id: ${id}`);
    lastEventId = id;
    next = {};
    put(`${lines.join("\n")}\n\n`);
  };

  /** @param {string} name */
  const hear = (name) => source.addEventListener(name, pass); // once, however often it is told

  const read = async () => {
    while (!blocks.length)
      await new Promise((resolve) => {
        wake = () => resolve(undefined);
      });
    const value = blocks.shift();
    return { done: value === undefined, value };
  };

  for (const name of NAMES) hear(name);
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => {
      source.close();
      put();
      reject(signal.reason);
    });
    source.onopen = (event) => {
      if (isMessage(event)) return;
      hasOpened = true;
      const headers = new Headers({ "Content-Type": "text/event-stream" });
      const response = { ok: true, status: 200, headers, body: { getReader: () => ({ read }) } };
      resolve(/** @type {any} */ (response));
    };
    source.onerror = (event) => {
      if (isMessage(event)) return;
      source.close(); // by itself it would try again from an older cursor
      put();
      if (!hasOpened) resolve(get(address, { mode: "same-origin", ...init }));
    };
  });
}
