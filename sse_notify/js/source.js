/** The browser's EventSource, as others know it, over the one stream of a client: for htmx 2, Turbo and all else that wants to be given one. */

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
   * @param {string} address The stream's.
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
      client.on("state", ({ state }) => this.#turn(readyStateOf(state), state === "waiting")),
      client.on("forbidden", (refused) => refused.topics === topics && this.#turn(2)),
      client.on("event", ({ event, data, id, topic }) => {
        const isOurs = topics.includes(topic ?? event);
        // A name that several topics use is that of this source's.
        if (isOurs || !topic || !topics.length) this.#tell(event, data, id);
        // What listens to messages alone, as Turbo does, is to hear it.
        if (isOurs) this.#tell("message", data, id);
      }),
      ...["notification", "update", "remove", "reset"].map((type) =>
        client.on(/** @type {any} */ (type), (/** @type {any} */ value) =>
          this.#tell(type, JSON.stringify(value), value.seq),
        ),
      ),
    ];
    this.#end = () => {
      for (const fn of off.splice(0)) fn();
    };
    // Whoever made it listens a moment later.
    queueMicrotask(() => this.#turn(readyStateOf(client.state)));
  }

  close() {
    this.readyState = 2;
    this.#end();
  }

  /** @param {number} state @param {boolean} [hasFailed] A try has: that is told, though it was connecting before. */
  #turn(state, hasFailed) {
    if (this.readyState === 2 || (this.readyState === state && !hasFailed)) return;
    this.readyState = state;
    if (state === 2) this.#end();
    this.#fire(new Event(state === 1 ? "open" : "error"));
  }

  /**
   * @param {string} type
   * @param {string} data
   * @param {string | number | null} [id]
   */
  #tell(type, data, id) {
    if (this.readyState === 2) return;
    this.lastEventId = `${id ?? this.lastEventId}`;
    this.#fire(
      new MessageEvent(type, { data, lastEventId: this.lastEventId, origin: this.#origin }),
    );
  }

  /** @param {Event} event */
  #fire(event) {
    /** @type {any} */ (this)[`on${event.type}`]?.(event);
    this.dispatchEvent(event);
  }
}
