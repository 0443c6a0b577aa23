/** @import { Item } from "../static/sse_notify/sse-notify.js" */
/** @import { List } from "./list.js" */
import { copy, write } from "./parts.js";

/**
 * Put the titles of items on top of the list, where what makes whole items cannot be loaded. Once
 * it is, it fills the same elements.
 *
 * @param {List} list
 * @param {Item[]} items The newest last.
 */
export function placePlain({ root, element: parent, find }, items) {
  for (const { id, seq, title, unread } of items) {
    const element = find(id) ?? copy(root, "item") ?? document.createElement("li");
    Object.assign(element.dataset, { ssenItem: id, seq });
    element.toggleAttribute("data-unread", Boolean(unread));
    write(element, "title", title);
    parent.prepend(element);
  }
}
