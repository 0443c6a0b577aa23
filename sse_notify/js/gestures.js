/** @import { SseNotifyClient } from "./client.js" */
/** @import { makeList } from "./list.js" */
import { UNDO_FOR } from "./limits.js";
import { focusHeading, part, words } from "./parts.js";
import { safeUrl } from "./urls.js";

/**
 * What the user does in a widget: buttons, links, forms. It is shown at once, and told to the server.
 *
 * @param {HTMLElement} root The widget.
 * @param {SseNotifyClient} client
 * @param {ReturnType<typeof makeList>} list
 * @param {object} widget
 * @param {(id: number) => void} widget.dismiss A toast.
 * @param {(text: string) => void} widget.say By the live region.
 * @param {<T>(promise: Promise<T>) => Promise<T>} widget.attempt Fetch the truth if it fails; returns it.
 * @param {() => void} widget.drawSoon
 * @param {(isMore?: boolean) => Promise<void>} widget.load
 * @param {() => unknown} widget.regret Say that it did not work.
 * @param {(type: string, detail: unknown) => boolean} widget.tell
 * @param {AbortSignal} signal
 */
export function makeGestures(
  root,
  client,
  list,
  { dismiss, say, attempt, drawSoon, load, regret, tell },
  signal,
) {
  /** What can be taken back from the archive for a moment, when the server has it there. @type {Promise<number>[]} */
  let archived = [];
  /** @type {any} */
  let timer;

  /** The id of the item that an element is in, in the list or in a toast; NaN if it is in none. @param {Element} element */
  const itemOf = (element) => list.idOf(element.closest("[data-ssen-item]"));

  const offer = () => part(root, "undone")?.toggleAttribute("hidden", !archived.length);

  /** Nothing can be taken back any more. */
  const forget = () => {
    clearTimeout(timer);
    archived = [];
    offer();
  };

  /** Archiving can be undone for a while, and for as long as somebody is about to. */
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (part(root, "undone")?.matches(":hover, :focus-within")) wait();
      else forget();
    }, UNDO_FOR);
  };

  /** @param {number} id */
  const read = (id) => {
    dismiss(id);
    const item = list.find(id); // not there: the list shows others
    if (item && !("unread" in item.dataset)) return;
    list.mark({ ids: [id], set: "read" });
    attempt(client.markRead([id]));
  };

  /**
   * An action of an item is submitted without leaving the page, if it stays on this site.
   *
   * @param {SubmitEvent} event
   * @param {HTMLElement} button
   */
  const act = async (event, button) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const id = itemOf(form);
    const url = safeUrl(form.action);
    if (!id || !url) return; // a form of the project's own, or to another site
    event.preventDefault();
    if (button.ariaDisabled || !tell("click", { id, url })) return;
    button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
    try {
      const { ok } = await fetch(url, { method: "POST", body: new FormData(form) });
      if (!ok) throw ok;
      read(id);
      say(words(root, "live", "done"));
    } catch {
      button.ariaDisabled = null;
      regret();
    }
  };

  /** @param {MouseEvent} event */
  const clicked = (event) => {
    const target = /** @type {Element} */ (event.target);
    const id = itemOf(target);
    const button = target.closest("button");
    switch (button?.dataset.ssen) {
      case "new":
        list.show(true);
        break;
      case "older":
        load(list.failed !== "first");
        break;
      case "tab":
        for (const tab of root.querySelectorAll("[data-ssen=tab]"))
          tab.ariaPressed = `${tab === button}`;
        list.filter = /** @type {any} */ ({
          state: button.dataset.state,
          category: button.dataset.category,
        });
        list.clear();
        load();
        break;
      case "dismiss":
        dismiss(id);
        break;
      case "undo":
        // Not before: of two requests at once the server may answer the second first.
        attempt(
          Promise.all(archived)
            .then((gone) => client.unarchive(gone))
            .then(() => load()),
        );
        forget();
        focusHeading(root);
    }
    if (!id || button) return;
    if (!tell("click", { id, url: target.closest("a")?.href ?? null })) event.preventDefault();
    read(id);
  };

  /** @param {SubmitEvent} event */
  const submitted = (event) => {
    const button = event.submitter;
    if (!button) return;
    const { ssen, ssenMark: mark } = button.dataset;
    const id = Number(/** @type {HTMLButtonElement} */ (button).value);
    const ids = [id];
    if (ssen === "all") {
      list.show(true);
      list.mark({ up_to: client.cursor ?? 0, set: "read" });
      attempt(client.markAllRead());
      focusHeading(root);
    } else if (mark === "archive") {
      list.remove(id);
      archived.push(attempt(client.archive(ids).then(() => id)));
      say(words(root, "undone", "label"));
      wait();
      offer();
      drawSoon();
    } else if (mark === "read" || mark === "unread") {
      list.mark({ ids, set: mark });
      // The stylesheet hides the button that was pressed, and shows its opposite in its place.
      const opposite = mark === "read" ? "unread" : "read";
      /** @type {HTMLElement | null | undefined} */
      const shown = list.find(id)?.querySelector(`[data-ssen-mark=${opposite}]`);
      shown?.focus();
      attempt(mark === "read" ? client.markRead(ids) : client.markUnread(ids));
    } else return act(event, button);
    event.preventDefault();
  };

  root.addEventListener("click", clicked, { signal });
  root.addEventListener("submit", submitted, { signal });
  return { forget };
}
