import { SseNotifyClient } from "./client.js";
import { OUTLIVES } from "./limits.js";
import { part } from "./parts.js";
import { formToken } from "./requests.js";
import { readyStateOf } from "./states.js";
import { makeWidget } from "./widget.js";

/**
 * The clients of the page: several bells of a user share one.
 *
 * @type {Map<string, {client: SseNotifyClient, users: number, timer?: any}>}
 */
const clients = new Map();

// Node has no elements, and can import the rest all the same.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/**
 * `<sse-notify>` brings the bell that the server rendered to life. Everything it shows comes from
 * the server's markup, so a project changes it by overriding a template.
 *
 * Its events bubble: `sse-notify:notification` (cancel it, and there is no toast and no
 * announcement), `sse-notify:click` (cancel it, and the link is not followed, the action not
 * submitted), `sse-notify:counts`, `sse-notify:state`, `sse-notify:update`, `sse-notify:event`.
 */
export class SseNotifyElement extends Base {
  /** @type {SseNotifyClient | undefined} */
  client;
  /** @type {ReturnType<typeof makeWidget> | undefined} */
  #widget;
  /** @type {(() => void) | undefined} */
  #end;

  connectedCallback() {
    const { dataset } = this;
    if (!dataset.stream || this.client) return;
    const inside = /** @type {HTMLTemplateElement | null} */ (part(this, "inside"));
    inside?.replaceWith(inside.content);
    const token = formToken(this);
    const whole = (/** @type {string | undefined} */ text) => (text ? Number(text) : null);
    const name = `${dataset.key}${dataset.stream}`;
    const shared = clients.get(name) ?? {
      client: new SseNotifyClient({
        .../** @type {any} */ (dataset), // `key` and `csrfHeader`
        urls: dataset, // which has them under the same names
        cursor: whole(dataset.cursor),
        stateSeq: whole(dataset.stateSeq),
        unread: Number(dataset.countUnread),
        unseen: Number(dataset.countUnseen),
        csrf: () => token,
      }),
      users: 0,
    };
    clients.set(name, shared);
    clearTimeout(shared.timer);
    shared.users++;
    const { client } = shared;
    this.client = client;
    this.#widget = makeWidget(this, client, token);
    this.#end = () => {
      this.#widget?.stop();
      if (--shared.users) return;
      shared.timer = setTimeout(() => {
        clients.delete(name);
        client.stop();
      }, OUTLIVES);
    };
    if (readyStateOf(client.state) === 2) client.stop(); // start again, perhaps after a new login
    if (!("noStream" in dataset)) client.start();
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = this.#widget = this.client = undefined;
  }

  open() {
    this.#widget?.panel?.toggle(true);
  }

  close() {
    this.#widget?.panel?.toggle(false);
  }
}
