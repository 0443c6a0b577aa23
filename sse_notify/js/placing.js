/** @import { Item, Page } from "../static/sse_notify/sse-notify.js" */
/** @import { List } from "./list.js" */
import { fillItem } from "./item.js";
import { copy } from "./parts.js";

/**
 * @param {List} list
 * @param {Item} item
 * @param {HTMLElement | null} [known]
 */
const fill = (list, item, known) => {
  const element = known ?? copy(list.root, "item") ?? document.createElement("li");
  fillItem(element, item, list.options);
  return element;
};

/**
 * Show what is held, each item in the place of its former self or on top; return what waits because somebody reads further down, or
 * walks by keyboard through the list, or to the button for what waits: then neither jumps.
 *
 * @param {List} list
 * @param {Item[]} held The newest last.
 * @param {boolean} force Whether nothing is to wait.
 */
export function place(list, held, force) {
  const { element: parent, filter, find, remove } = list;
  const busy =
    !force &&
    (parent.scrollTop > 8 || document.activeElement?.closest("[data-ssen=list],[data-ssen=new]"));
  const waiting = [];
  for (const item of held) {
    const known = find(item.id);
    const fits =
      (!filter.state || item.unread) && (!filter.category || item.category === filter.category);
    if (!fits) remove(item.id);
    else if (busy && !known) waiting.push(item);
    else {
      const element = fill(list, item, known);
      if (known && (busy || parent.firstElementChild === element)) continue;
      parent.prepend(element);
      element.classList.add("ssen-fresh");
    }
  }
  return waiting;
}

/**
 * Take over a page of items as the server has it: the truth, for as far down as it reaches.
 *
 * @param {List} list
 * @param {Page} page
 * @param {number} since The cursor when it was asked for: what has a higher number, and is not in the page, came later and stays.
 * @param {boolean} isMore Whether it is an older page, for the end.
 */
export function take(list, { items: page, next }, since, isMore) {
  const { element: parent, items, find, idOf } = list;
  if (isMore) {
    for (const item of page) if (!find(item.id)) parent.append(fill(list, item));
    list.next = next;
    return;
  }
  const seqs = new Map(page.map(({ id, seq }) => [id, seq ?? Infinity])); // what has no number yet is the newest
  const isLater = (/** @type {number} */ id, /** @type {unknown} */ seq) =>
    Number(seq) > (seqs.get(id) ?? since);
  const end = Number.parseFloat(/** @type {any} */ (next)); // NaN, which nothing is below, if it is the last page
  const isBelow = (/** @type {any} */ element) => element?.dataset.seq < end;
  list.held = list.held.filter(({ id, seq }) => isLater(id, seq));
  for (const element of items()) {
    const id = idOf(element);
    if (!seqs.has(id) && !isBelow(element) && !isLater(id, element.dataset.seq)) list.remove(id);
  }
  let before = /** @type {any} */ (parent.firstElementChild);
  for (const item of page) {
    while (before && isLater(idOf(before), before.dataset.seq)) before = before.nextElementSibling;
    const known = find(item.id);
    if (isLater(item.id, known?.dataset.seq)) continue;
    const element = fill(list, item, known);
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
  }
  // What is loaded below the page stays, and so does its end.
  if (!isBelow(parent.lastElementChild)) list.next = next;
}
