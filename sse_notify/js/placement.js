/** @import { Item, Page } from "../static/sse_notify/sse-notify.js" */
/** @import { List } from "./list.js" */
import { fillItem } from "./item.js";
import { copy, write } from "./parts.js";

/**
 * Show the tab of a category, and return the category's label. The server made the tabs of those
 * that it knows, and an empty one.
 *
 * @param {HTMLElement} root
 * @param {string} category
 */
const showTab = (root, category) => {
  /** @returns {HTMLElement | null} */
  const find = (/** @type {string} */ name) =>
    root.querySelector(`button[data-category="${CSS.escape(name)}"]`);
  const empty = /** @type {HTMLElement} */ (find("")); // a project's own template may have none
  const tab = find(category) ?? /** @type {HTMLElement | undefined} */ (empty?.cloneNode());
  if (!tab || !category) return category;
  if (!tab.isConnected) empty.before(tab);
  tab.dataset.category = category;
  tab.textContent ||= category;
  tab.hidden = false;
  return tab.textContent;
};

/**
 * Return an item's element: the one that is known, or a copy of the template.
 *
 * @param {List} list
 * @param {Item} item
 * @param {HTMLElement | null} [known]
 */
const fill = (list, item, known) => {
  const element = known ?? copy(list.root, "item") ?? document.createElement("li");
  fillItem(element, item, list.options);
  write(element, "category", showTab(list.root, item.category));
  return element;
};

/**
 * Put items on top of the list.
 *
 * While the user reads further down, or is in the list or on the button for new items by keyboard,
 * new items wait, and known ones are filled in their place.
 *
 * @param {List} list
 * @param {Item[]} held The newest last.
 * @param {boolean} force Whether no item waits.
 * @returns {Item[]} The items that wait.
 */
export function placeItems(list, held, force) {
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
 * Make the list show a page of items, as the server has it. Items that are not in the page go, if
 * the page reaches as far down.
 *
 * @param {List} list
 * @param {Page} page
 * @param {number} since The cursor when the page was asked for. Items with a higher number came
 *   later, and stay.
 * @param {boolean} isMore Whether it is a page of older items, for the end of the list.
 */
export function placePage(list, { items: page, next }, since, isMore) {
  const { element: parent, items, find, idOf } = list;
  if (isMore) {
    for (const item of page) if (!find(item.id)) parent.append(fill(list, item));
    list.next = next;
    return;
  }
  // An item without a number is the newest.
  const seqs = new Map(page.map(({ id, seq }) => [id, seq ?? Infinity]));
  const isLater = (/** @type {number} */ id, /** @type {any} */ seq) =>
    seq > (seqs.get(id) ?? since);
  // `next` begins with a number. Without one it is the last page, and nothing is below.
  const isBelow = (/** @type {any} */ element) =>
    element?.dataset.seq < Number.parseFloat(/** @type {any} */ (next));
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
  // Items below the page stay, and so does the end of the list.
  if (!isBelow(parent.lastElementChild)) list.next = next;
}
