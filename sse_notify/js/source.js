/**
 * An EventSource that a client's one stream feeds, for htmx 2, Turbo and others that expect one.
 */

/** @import { SseNotifyClient } from "./client.js" */
import { readyStateOf } from "./states.js";

export class SseNotifyEventSource extends EventTarget {
  CONNECTING = 0;
  OPEN = 1;
  CLOSED = 2;
  readyState = 0;
  withCredentials = true;
  lastEventId = "";
  /** @type {((event: Event) => unknown) | null} */
  onopen = null;
  /** @type {((event: MessageEvent) => unknown) | null} */
  onmessage = null;
  /** @type {((event: Event) => unknown) | null} */
  onerror = null;
  #end;
  #origin;

  /**
   * @param {SseNotifyClient} client
   * @param {string} address The stream's address.
   * @param {string[]} topics
   * @param {() => unknown} release Called when it is closed.
   */
  constructor(client, address, topics, release) {
    super();
    const { href, origin } = new URL(address, globalThis.document?.baseURI ?? "http://localhost");
    this.url = href;
    this.#origin = origin;
    const off = [
      release,
      client.on("state", ({ state }) => this.#setState(readyStateOf(state), state === "waiting")),
      client.on("forbidden", (refused) => refused.topics === topics && this.#setState(2)),
      client.on("event", ({ event, data, id, topic }) => {
        const isOurs = topics.includes(topic ?? event);
        // An event with a topic belongs to the sources of that topic, whatever its name.
        if (isOurs || !topic || !topics.length) this.#send(event, data, id);
        // Turbo, for one, listens to messages alone.
        if (isOurs) this.#send("message", data, id);
      }),
      ...["notification", "update", "remove", "reset"].map((type) =>
        client.on(/** @type {any} */ (type), (/** @type {any} */ value) =>
          this.#send(type, JSON.stringify(value), value.seq),
        ),
      ),
    ];
    this.#end = () => {
      for (const fn of off.splice(0)) fn();
    };
    // After the code that makes the source has added its listeners.
    queueMicrotask(() => this.#setState(readyStateOf(client.state)));
  }

  close() {
    this.readyState = 2;
    this.#end();
  }

  /**
   * Change the ready state.
   *
   * @param {number} state
   * @param {boolean} [hasFailed] Whether an attempt failed, which is an error even if the state
   *   stays.
   */
  #setState(state, hasFailed) {
    if (this.readyState === 2 || (this.readyState === state && !hasFailed)) return;
    this.readyState = state;
    if (state === 2) this.#end();
    this.#dispatch(new Event(state === 1 ? "open" : "error"));
  }

  /**
   * @param {string} type
   * @param {string} data
   * @param {string | number | null} [id]
   */
  #send(type, data, id) {
    if (this.readyState === 2) return;
    this.lastEventId = `${id ?? this.lastEventId}`;
    this.#dispatch(
      new MessageEvent(type, { data, lastEventId: this.lastEventId, origin: this.#origin }),
    );
  }

  /** @param {Event} event */
  #dispatch(event) {
    /** @type {any} */ (this)[`on${event.type}`]?.(event);
    this.dispatchEvent(event);
  }
}
