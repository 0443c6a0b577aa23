/** @import { Widget } from "./widget.js" */
import { part, words } from "./parts.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const UNDO_FOR = 8_000;

/** What the user does in a widget: buttons, links, forms. It is shown at once, and told to the server. */
export class Gestures {
  /** What can be taken back from the archive for a moment. @type {number[]} */
  archived = [];
  /** @type {any} */
  #undoTimer;
  #ended = new AbortController();

  /** @param {Widget} widget */
  constructor(widget) {
    this.widget = widget;
    const { signal } = this.#ended;
    widget.root.addEventListener("click", (event) => this.#clicked(event), { signal });
    widget.root.addEventListener("submit", (event) => this.#submitted(event), { signal });
  }

  stop() {
    this.#ended.abort();
    this.forget();
  }

  /** Nothing can be taken back any more. */
  forget() {
    clearTimeout(this.#undoTimer);
    this.archived = [];
    this.widget.draw();
  }

  /** @param {number} id */
  read(id) {
    const { list, toasts, client } = this.widget;
    toasts.dismiss(id);
    if (list.find(id)?.dataset.unread === undefined) return;
    list.mark({ ids: [id], set: "read" });
    this.widget.attempt(client.markRead([id]));
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const { widget } = this;
    const { list, client } = widget;
    const target = /** @type {Element} */ (event.target);
    const item = /** @type {HTMLElement | null} */ (target.closest("[data-ssen-item], [data-ssen-toast]"));
    const id = Number(item?.dataset.ssenItem ?? item?.dataset.ssenToast);
    const button = target.closest("button");
    const link = target.closest("a");
    switch (button?.dataset.ssen) {
      case "new":
        list.flush(true);
        widget.focus(); // the button that was pressed is gone
        break;
      case "older":
        widget.load(list.failed !== "first");
        break;
      case "tab":
        for (const tab of widget.root.querySelectorAll("[data-ssen=tab]")) tab.ariaPressed = String(tab === button);
        list.filter = /** @type {any} */ ({ state: button.dataset.state, category: button.dataset.category });
        list.clear();
        widget.load();
        break;
      case "desktop":
        Notification.requestPermission().then(() => widget.draw());
        break;
      case "dismiss":
        widget.toasts.dismiss(id);
        break;
      case "undo":
        widget.attempt(client.unarchive(this.archived).then(() => widget.load()));
        this.forget();
        widget.focus();
    }
    if (!id || button || (!link && item?.dataset.ssenToast)) return;
    if (!widget.tell("click", { id, url: link?.href ?? null })) event.preventDefault();
    this.read(id);
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    const { widget } = this;
    const { client, list } = widget;
    const button = event.submitter;
    if (!button) return;
    const { ssen, ssenMark: mark } = button.dataset;
    const ids = [Number(button.getAttribute("value"))];
    if (ssen === "all") {
      list.flush(true);
      list.mark({ up_to: client.cursor ?? 0, set: "read" });
      widget.attempt(client.markAllRead());
      widget.focus();
    } else if (mark === "archive") {
      list.mark({ ids, set: "archived" });
      widget.attempt(client.archive(ids));
      this.archived.push(...ids);
      widget.announcer.say(words(widget.root, "undone", "label"));
      this.#wait();
      widget.draw();
    } else if (mark === "read" || mark === "unread") {
      const isRead = mark === "read";
      list.mark({ ids, set: mark });
      // The button that was pressed is gone; its opposite is in its place.
      const opposite = list.find(ids[0] ?? 0)?.querySelector(`[data-ssen-mark=${isRead ? "unread" : "read"}]`);
      /** @type {HTMLElement | undefined} */ (opposite ?? undefined)?.focus();
      widget.attempt(isRead ? client.markRead(ids) : client.markUnread(ids));
    } else {
      this.#act(event, button);
      return;
    }
    event.preventDefault();
  }

  /** Archiving can be undone for a while, and for as long as somebody is about to. */
  #wait() {
    clearTimeout(this.#undoTimer);
    this.#undoTimer = setTimeout(() => {
      if (part(this.widget.root, "undone")?.matches(":hover, :focus-within")) this.#wait();
      else this.forget();
    }, UNDO_FOR);
  }

  /**
   * An action of an item is submitted without leaving the page, if it stays on this site.
   *
   * @param {SubmitEvent} event
   * @param {HTMLElement} button
   */
  async #act(event, button) {
    const { widget } = this;
    const form = /** @type {HTMLFormElement} */ (event.target);
    const id = Number(/** @type {HTMLElement | null} */ (form.closest("[data-ssen-item]"))?.dataset.ssenItem);
    const url = safeUrl(form.action);
    if (!id || !url) return; // a form of the project's own, or to another site
    event.preventDefault();
    if (button.ariaDisabled || !widget.tell("click", { id, url })) return;
    button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
    try {
      const { ok } = await fetch(url, { method: "POST", body: new FormData(form) });
      if (!ok) throw ok;
      this.read(id);
      widget.announcer.say(words(widget.root, "live", "done"));
    } catch {
      button.ariaDisabled = null;
      widget.showStatus("failed");
    }
  }
}
