import { Announcer } from "./announcer.js";
import { SseNotifyClient } from "./client.js";
import { part } from "./item.js";
import { ItemList } from "./list.js";
import { Panel } from "./panel.js";
import { refreshTimes } from "./times.js";
import { Toasts } from "./toasts.js";

/** Milliseconds. */
const TELL_AFTER = 10_000;
const SEEN_AFTER = 1_000;
const TICK = 30_000;

const MOST_SHOWN = 99;

/** Several bells of a page have one client. @type {Map<string, {client: SseNotifyClient, users: number}>} */
const clients = new Map();

// Node has no elements; what has no DOM can be imported there all the same.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/**
 * `<sse-notify>`: brings the bell that the server rendered to life. Everything it shows comes from the server's markup, so that a
 * project changes it by overriding a template.
 *
 * Its events bubble: `sse-notify:notification` (cancelable: then it neither toasts nor speaks), `sse-notify:click` (cancelable: then
 * the page does not leave), `sse-notify:counts`, `sse-notify:state`, `sse-notify:update`, `sse-notify:event`.
 */
export class SseNotifyElement extends Base {
  /** @type {SseNotifyClient | undefined} */
  client;
  /** @type {(() => void)[]} */
  #undo = [];
  /** @type {Panel | undefined} */
  #panel;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #seenTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #statusTimer;

  connectedCallback() {
    const { dataset } = this;
    if (!dataset.stream || this.client) return;
    const external = "external" in dataset;
    const token = this.querySelector('input[name="csrfmiddlewaretoken"]')?.getAttribute("value") ?? "";
    const client = this.#share(token);
    const list = new ItemList(this, { external, token });
    const toasts = new Toasts(part(this, "toasts"), /** @type {HTMLTemplateElement | null} */ (part(this, "toast")));
    const announcer = new Announcer(part(this, "live"));
    this.#upgradeBell(toasts);
    refreshTimes(this);

    const tick = setInterval(() => {
      if (document.visibilityState === "hidden") return;
      refreshTimes(this);
      if (list.expire() > 0) client.refresh();
    }, TICK);
    const ended = new AbortController();
    this.addEventListener("click", (event) => this.#clicked(event, list, toasts), { signal: ended.signal });
    this.addEventListener("submit", (event) => this.#submitted(event, list), { signal: ended.signal });
    document.addEventListener("visibilitychange", () => this.#look(), { signal: ended.signal });
    this.#undo = [
      () => clearInterval(tick),
      () => ended.abort(),
      () => announcer.stop(),
      () => toasts.clear(),
      client.on("notification", (item) => {
        list.add(item);
        if (!this.#tell("notification", item) || item.silent) return;
        if (this.#panel?.isOpen) this.#look();
        else if (dataset.toasts === "on" || (dataset.toasts === "urgent" && ["warning", "error"].includes(item.level))) {
          if (!item.replayed) toasts.show(item, { external });
        }
        if (!item.replayed) announcer.announce(item.title);
      }),
      client.on("reset", () =>
        this.#attempt(client.list({ limit: Number(dataset.limit) || 20 }).then((page) => list.replace(page))),
      ),
      client.on("update", (update) => {
        list.mark(update);
        if (update.set === "read") for (const id of update.ids ?? []) toasts.dismiss(id);
        this.#tell("update", update);
      }),
      client.on("remove", (update) => {
        for (const id of update.ids) list.remove(id);
        this.#tell("update", update);
      }),
      client.on("counts", (counts) => {
        this.#showCounts();
        this.#tell("counts", counts);
      }),
      client.on("state", (state) => {
        if (state.state === "unauthorized") {
          // What was somebody's stays on no screen.
          list.clear();
          toasts.clear();
          announcer.stop();
          this.#showCounts();
        }
        this.#showState();
        this.#tell("state", state);
      }),
      client.on("event", (message) => this.#tell("event", message)),
    ];
    const more = () => {
      list.release();
      part(this, "heading")?.focus(); // the button that was pressed is gone
    };
    part(this, "new")?.addEventListener("click", more, { signal: ended.signal });
    this.#showCounts();
    this.#showState();
    client.start();
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
    clearTimeout(this.#seenTimer);
    clearTimeout(this.#statusTimer);
    this.#panel?.stop();
    this.#panel = undefined;
    const shared = clients.get(this.#name);
    this.client = undefined;
    if (shared && --shared.users === 0) {
      clients.delete(this.#name);
      shared.client.stop();
    }
  }

  open() {
    this.#panel?.toggle(true);
  }

  close() {
    this.#panel?.toggle(false);
  }

  get #name() {
    return `${this.dataset.key} ${this.dataset.stream}`;
  }

  /** @param {string} token */
  #share(token) {
    const { dataset } = this;
    let shared = clients.get(this.#name);
    if (!shared) {
      const client = new SseNotifyClient({
        urls: /** @type {any} */ (dataset), // under the same names
        key: dataset.key ?? "",
        cursor: dataset.cursor ? Number(dataset.cursor) : null,
        stateSeq: dataset.stateSeq ? Number(dataset.stateSeq) : null,
        unread: Number(dataset.countUnread),
        unseen: Number(dataset.countUnseen),
        csrf: () => token,
        csrfHeader: dataset.csrfHeader ?? "X-CSRFToken",
      });
      shared = { client, users: 0 };
      clients.set(this.#name, shared);
    }
    shared.users++;
    this.client = shared.client;
    return shared.client;
  }

  /**
   * The link to the list page becomes the button of the panel.
   *
   * @param {Toasts} toasts
   */
  #upgradeBell(toasts) {
    const panel = part(this, "panel");
    let bell = part(this, "bell");
    if (!panel || !bell) return;
    if (bell.localName === "a") {
      const button = document.createElement("button");
      for (const { name, value } of bell.attributes) if (name !== "href") button.setAttribute(name, value);
      button.type = "button";
      button.append(...bell.childNodes);
      bell.replaceWith(button);
      bell = button;
    }
    this.#panel = new Panel(panel, bell, (open) => {
      if (open) {
        part(this, "heading")?.focus({ preventScroll: true });
        toasts.clear(); // the panel shows them
      }
      this.#look();
    });
  }

  /** What is before the user's eyes for a second counts as seen. */
  #look() {
    clearTimeout(this.#seenTimer);
    if (!this.#panel?.isOpen || document.visibilityState === "hidden" || !this.client?.counts.unseen) return;
    this.#seenTimer = setTimeout(() => this.#attempt(this.client?.markSeen()), SEEN_AFTER);
  }

  /**
   * @param {MouseEvent} event
   * @param {ItemList} list
   * @param {Toasts} toasts
   */
  #clicked(event, list, toasts) {
    const target = /** @type {Element} */ (event.target);
    const item = /** @type {HTMLElement | null} */ (target.closest("[data-ssen-item], [data-ssen-toast]"));
    const id = Number(item?.dataset.ssenItem ?? item?.dataset.ssenToast);
    if (!item || !id || target.closest("[data-ssen-mark], [data-ssen=dismiss]")) return;
    const link = target.closest("a");
    if (target.closest("button") || (!link && "ssenToast" in item.dataset)) return;
    const detail = { id, url: link?.href ?? null };
    if (!this.#tell("click", detail)) event.preventDefault();
    if (list.find(id)?.hasAttribute("data-unread")) {
      list.mark({ ids: [id], set: "read" });
      this.#attempt(this.client?.markRead([id]));
    }
    toasts.dismiss(id);
  }

  /**
   * @param {SubmitEvent} event
   * @param {ItemList} list
   */
  #submitted(event, list) {
    const { client } = this;
    const { submitter } = event;
    if (!client || !(submitter instanceof HTMLElement)) return;
    const mark = submitter.dataset.ssenMark;
    const id = Number(submitter.getAttribute("value"));
    if (submitter.dataset.ssen === "all") {
      list.release();
      list.mark({ up_to: client.cursor ?? 0, set: "read" });
      this.#attempt(client.markAllRead());
      part(this, "heading")?.focus();
    } else if (mark === "read" || mark === "unread") {
      list.mark({ ids: [id], set: mark });
      // The button that was pressed is gone; its opposite is in its place.
      const other = list.find(id)?.querySelector(`[data-ssen-mark="${mark === "read" ? "unread" : "read"}"]`);
      if (other instanceof HTMLElement) other.focus();
      this.#attempt(mark === "read" ? client.markRead([id]) : client.markUnread([id]));
    } else if (mark === "archive") {
      list.remove(id);
      this.#attempt(client.archive([id]));
    } else return; // a form of the project's own
    event.preventDefault();
  }

  /** @param {Promise<unknown> | undefined} promise What was shown before it is true; the client fetches the truth if it fails. */
  #attempt(promise) {
    promise?.catch(() => this.#showStatus("failed"));
  }

  #showCounts() {
    if (!this.client) return;
    const { counts, state } = this.client;
    const { unread, unseen } = state === "unauthorized" ? { unread: 0, unseen: 0 } : counts;
    const count = this.dataset.badge === "unseen" ? unseen : unread;
    const badge = part(this, "badge");
    const bell = part(this, "bell");
    if (badge) {
      badge.textContent = count > MOST_SHOWN ? `${MOST_SHOWN}+` : String(count);
      badge.hidden = count === 0;
    }
    bell?.setAttribute("aria-label", (bell.dataset.label ?? "{count}").replace("{count}", String(count)));
    const all = part(this, "all");
    if (all) all.hidden = unread === 0;
    for (const place of document.querySelectorAll("[data-ssen-unread-count]")) place.textContent = String(unread);
  }

  /** A short break is nobody's concern; after ten seconds the user is told, and at once when nothing more will come. */
  #showState() {
    const state = this.client?.state ?? "idle";
    this.dataset.connection = state;
    clearTimeout(this.#statusTimer);
    this.#statusTimer = undefined;
    if (state === "unauthorized" || state === "stopped") this.#showStatus(state);
    else if (["open", "polling", "follower"].includes(state)) this.#showStatus("");
    else this.#statusTimer = setTimeout(() => this.#showStatus(state === "offline" ? "offline" : "connecting"), TELL_AFTER);
  }

  /** @param {string} name The data attribute that holds the text; "": nothing to say. */
  #showStatus(name) {
    const status = part(this, "status");
    if (!status) return;
    status.textContent = name ? (status.dataset[name] ?? "") : "";
    status.hidden = !name;
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   * @returns {boolean} Whether nobody objected.
   */
  #tell(type, detail) {
    return this.dispatchEvent(new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }));
  }
}
