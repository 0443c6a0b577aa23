/** @import { SseNotifyClient } from "./client.js" */
/** @import { List } from "./list.js" */
import { UNDO_FOR } from "./limits.js";
import { focusHeading, part, words } from "./parts.js";
import { safeUrl } from "./urls.js";

/**
 * What the user does in a widget: buttons, links, forms. The widget shows it at once, and then asks
 * the server.
 *
 * @param {HTMLElement} root The widget.
 * @param {SseNotifyClient} client
 * @param {List} list
 * @param {object} widget
 * @param {(id: number) => void} widget.dismiss Removes a toast.
 * @param {(text: string) => void} widget.say Makes a screen reader say something.
 * @param {<T>(request: Promise<T>) => Promise<T>} widget.attempt Loads what is true if it fails.
 * @param {() => void} widget.drawSoon
 * @param {(isMore?: boolean) => Promise<void>} widget.load
 * @param {(type: string, detail: unknown) => boolean} widget.dispatch
 * @param {AbortSignal} signal
 */
export function makeInteractions(
  root,
  client,
  list,
  { dismiss, say, attempt, drawSoon, load, dispatch },
  signal,
) {
  /**
   * The ids that can be taken back from the archive, once the server has them there.
   *
   * @type {Promise<number>[]}
   */
  let archived = [];
  /** @type {any} */
  let timer;

  /**
   * Return the id of the item or toast that an element is in, NaN if it is in none.
   *
   * @param {Element} element
   */
  const itemOf = (element) => list.idOf(element.closest("[data-ssen-item]"));

  /** Show whether there is something to undo. */
  const showUndo = () => part(root, "undone")?.toggleAttribute("hidden", !archived.length);

  /** Let nothing be undone any more. */
  const forget = () => {
    clearTimeout(timer);
    archived = [];
    showUndo();
  };

  /** Forget after a while, but not while the user is about to press the button. */
  const forgetLater = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (part(root, "undone")?.matches(":hover, :focus-within")) forgetLater();
      else forget();
    }, UNDO_FOR);
  };

  /** Mark an item as read. @param {number} id */
  const read = (id) => {
    dismiss(id);
    const item = list.find(id); // not there if it has a toast only
    if (item && !("unread" in item.dataset)) return;
    list.change({ ids: [id], set: "read" });
    attempt(client.markRead([id]));
  };

  /**
   * Submit an action of an item without leaving the page, if it stays on this site.
   *
   * @param {SubmitEvent} event
   * @param {HTMLElement} button
   */
  const submitAction = async (event, button) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const id = itemOf(form);
    const url = safeUrl(form.action);
    if (!id || !url) return; // the project's own form, or one to another site
    event.preventDefault();
    if (button.ariaDisabled || !dispatch("click", { id, url })) return;
    button.ariaDisabled = "true"; // a disabled button would lose the focus
    try {
      await attempt(
        fetch(url, { mode: "same-origin", method: "POST", body: new FormData(form) }).then(
          ({ ok }) => {
            if (!ok) throw ok;
          },
        ),
      );
      read(id);
      say(words(root, "live", "done"));
    } catch {
      button.ariaDisabled = null;
    }
  };

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const target = /** @type {Element} */ (event.target);
    const id = itemOf(target);
    const button = target.closest("button");
    switch (button?.dataset.ssen) {
      case "new":
        list.draw(true);
        break;
      case "older":
        load(["", "more"].includes(list.lacking));
        break;
      case "tab":
        for (const tab of root.querySelectorAll("[data-ssen=tab]"))
          tab.ariaPressed = /** @type {any} */ (tab === button);
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
        // After the archiving requests: the server may answer requests out of order.
        attempt(
          Promise.all(archived)
            .then((gone) => client.unarchive(gone))
            .then(() => load()),
        );
        forget();
        focusHeading(root);
    }
    if (!id || button) return;
    if (!dispatch("click", { id, url: target.closest("a")?.href ?? null })) event.preventDefault();
    read(id);
  };

  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    // The site's form around the bell is not submitted.
    if (root.closest("form")) event.stopPropagation();
    const button = event.submitter;
    if (!button) return;
    const { ssen, ssenMark: mark } = button.dataset;
    const id = itemOf(button);
    const ids = [id];
    if (ssen === "all") {
      list.draw(true);
      list.change({ up_to: client.cursor ?? 0, set: "read" });
      attempt(client.markAllRead());
      focusHeading(root);
    } else if (mark === "archive") {
      list.remove(id);
      archived.push(attempt(client.archive(ids).then(() => id)));
      say(words(root, "undone", "label"));
      forgetLater();
      showUndo();
      drawSoon();
    } else if (mark === "read" || mark === "unread") {
      list.change({ ids, set: mark });
      // The stylesheet hides the button that was pressed, and shows its opposite in its place.
      const opposite = mark === "read" ? "unread" : "read";
      /** @type {HTMLElement | null | undefined} */
      const shown = list.find(id)?.querySelector(`[data-ssen-mark=${opposite}]`);
      shown?.focus();
      attempt(mark === "read" ? client.markRead(ids) : client.markUnread(ids));
    } else return submitAction(event, button);
    event.preventDefault();
  };

  root.addEventListener("click", onClick, { signal });
  root.addEventListener("submit", onSubmit, { signal });
  return { forget };
}
