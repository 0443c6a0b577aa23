import { SseNotifyClient } from "./client.js";
import { makeWidget } from "./widget.js";

/** Several bells of a page have one client. @type {Map<string, {client: SseNotifyClient, users: number}>} */
const clients = new Map();

// Node has no elements; what has no DOM can be imported there all the same.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/**
 * `<sse-notify>`: brings the bell that the server rendered to life. Everything it shows comes from the server's markup, so that a
 * project changes it by overriding a template.
 *
 * Its events bubble: `sse-notify:notification` (cancelable: then it neither toasts nor speaks), `sse-notify:click` (cancelable: then
 * the page does not leave, and no action is submitted), `sse-notify:counts`, `sse-notify:state`, `sse-notify:update`,
 * `sse-notify:event`.
 */
export class SseNotifyElement extends Base {
  /** @type {SseNotifyClient | undefined} */
  client;
  /** @type {ReturnType<typeof makeWidget> | undefined} */
  #widget;

  connectedCallback() {
    const { dataset } = this;
    if (!dataset.stream || this.client) return;
    const token = this.querySelector('input[name="csrfmiddlewaretoken"]')?.getAttribute("value") ?? "";
    const whole = (/** @type {string | undefined} */ text) => (text ? Number(text) : null);
    const shared = clients.get(this.#name) ?? {
      client: new SseNotifyClient({
        urls: /** @type {any} */ (dataset), // under the same names
        key: dataset.key ?? "",
        cursor: whole(dataset.cursor),
        stateSeq: whole(dataset.stateSeq),
        unread: Number(dataset.countUnread),
        unseen: Number(dataset.countUnseen),
        csrf: () => token,
        csrfHeader: dataset.csrfHeader ?? "X-CSRFToken",
      }),
      users: 0,
    };
    clients.set(this.#name, shared);
    shared.users++;
    this.client = shared.client;
    this.#widget = makeWidget(this, shared.client, token);
    shared.client.start();
  }

  disconnectedCallback() {
    this.#widget?.stop();
    const shared = clients.get(this.#name);
    if (shared && this.client && --shared.users === 0) {
      clients.delete(this.#name);
      shared.client.stop();
    }
    this.#widget = this.client = undefined;
  }

  open() {
    this.#widget?.panel?.toggle(true);
  }

  close() {
    this.#widget?.panel?.toggle(false);
  }

  get #name() {
    return `${this.dataset.key} ${this.dataset.stream}`;
  }
}
