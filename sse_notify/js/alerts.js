/**
 * Sounds, desktop notifications, and a count in the page's title. The widget loads
 * `sse-notify-alerts.js` when its tag asks for one of them. It uses only the public events of
 * `sse-notify.js`.
 */

import { badgeCount, shortCount } from "./badge.js";
/** @import { Item, SseNotifyElement as Widget } from "../static/sse_notify/sse-notify.js" */
import { DESKTOP, DESKTOP_AFTER, QUIET } from "./limits.js";
import { isHidden, words } from "./parts.js";
import { linkOf } from "./urls.js";

const SEEN = "sse-notify:seen"; // the name of a lock that all visible tabs share

/** What arrived while the page was hidden, and is not on the desktop yet. @type {Item[]} */
let waiting = [];
/** When the last sound began, in milliseconds since 1970. */
let sounded = 0;
/** What stands before the page's own title. */
let prefix = "";
/** Releases the lock of the visible tabs. @type {(value?: unknown) => void} */
let letGo = () => {};

const permission = () => globalThis.Notification?.permission ?? "denied";

/**
 * Make a sound, unless there was one just now. Browsers refuse sounds to a page that the user has
 * not touched.
 *
 * @param {string} sound "on" for a short tone, or the address of a file.
 */
function ring(sound) {
  const now = Date.now();
  if (now - sounded < QUIET || navigator.userActivation?.hasBeenActive === false) return;
  sounded = now;
  if (sound !== "on") {
    new Audio(sound).play().catch(() => {});
    return;
  }
  const audio = new AudioContext();
  const pitch = audio.createOscillator();
  const volume = audio.createGain();
  pitch.connect(volume).connect(audio.destination);
  pitch.frequency.value = 880;
  volume.gain.value = 0.1;
  volume.gain.exponentialRampToValueAtTime(0.001, 0.4);
  pitch.start();
  pitch.stop(0.4);
  pitch.onended = () => audio.close();
}

/**
 * Show a desktop notification.
 *
 * @param {string} title
 * @param {NotificationOptions} options
 * @param {() => void} onClick
 */
function popUp(title, options, onClick) {
  try {
    const shown = new Notification(title, options);
    shown.onclick = () => {
      shown.close();
      focus();
      onClick();
    };
  } catch {
    // On Android only service workers can show them.
  }
}

/**
 * Mark a notification as read, and go where it links to.
 *
 * @param {Widget} widget
 * @param {Item} item
 */
function visit(widget, { id, url }) {
  widget.client?.markRead([id]).catch(() => {});
  const address = linkOf(widget)(url);
  if (address) location.assign(address);
}

/** Hold the lock of the visible tabs while this one is visible. */
function holdWhileVisible() {
  letGo();
  const keep = () =>
    isHidden() ||
    new Promise((resolve) => {
      letGo(); // an earlier request was granted meanwhile
      letGo = resolve;
    });
  if (!isHidden()) navigator.locks?.request(SEEN, { mode: "shared" }, keep).catch(() => {});
}

/** Show on the desktop what is waiting, unless the user sees another tab. @param {Widget} widget */
async function showOnDesktop(widget) {
  const items = waiting;
  waiting = [];
  const { held } = (await navigator.locks?.query()) ?? {};
  if (held?.some(({ name }) => name === SEEN)) return;
  if (items.length > DESKTOP) {
    const title = words(widget, "live", "many", { count: items.length });
    popUp(title, { tag: "sse-notify" }, () => widget.open());
  } else {
    for (const item of items) {
      const { title, body, key, id } = item;
      popUp(title, { body, tag: key || `${id}` }, () => visit(widget, item));
    }
  }
}

/**
 * Show the count in the title, and the button that asks for permission until the user decides.
 *
 * @param {Widget} widget
 */
function show(widget) {
  for (const button of widget.querySelectorAll("[data-ssen=desktop]")) {
    /** @type {HTMLElement} */ (button).hidden = permission() !== "default";
  }
  if (!("titleBadge" in widget.dataset) || !widget.client) return;
  const { state, counts } = widget.client;
  const count = state === "unauthorized" ? 0 : badgeCount(widget, counts);
  const { title } = document;
  // The page may have set another title meanwhile.
  const own = title.startsWith(prefix) ? title.slice(prefix.length) : title;
  prefix = count ? `(${shortCount(count)}) ` : "";
  if (title !== prefix + own) document.title = prefix + own;
}

function showAll() {
  for (const widget of document.querySelectorAll("sse-notify"))
    show(/** @type {Widget} */ (widget));
}

function start() {
  for (const type of ["counts", "state"]) addEventListener(`sse-notify:${type}`, showAll);

  // The window hears an event last: a listener of the page may have cancelled it before.
  addEventListener("sse-notify:notification", (event) => {
    const { detail, defaultPrevented, target } = /** @type {CustomEvent} */ (event);
    const widget = /** @type {Widget} */ (target);
    // All tabs hear the event; only the one that has the stream makes a sound or a desktop
    // notification.
    if (defaultPrevented || detail.silent || detail.replayed || !widget.client?.leading) return;
    const { sound, desktop } = widget.dataset;
    if (sound) ring(sound);
    if (desktop === undefined || !isHidden() || permission() !== "granted") return;
    if (!waiting.length) setTimeout(showOnDesktop, DESKTOP_AFTER, widget);
    waiting.push(detail);
  });

  addEventListener("click", (event) => {
    if (!(/** @type {Element} */ (event.target).closest?.("[data-ssen=desktop]"))) return;
    Notification.requestPermission().then(showAll);
  });

  document.addEventListener("visibilitychange", holdWhileVisible);
  holdWhileVisible();
  showAll();
}

// A bundle may bring this beside the widget's tag, and the next release's may be loaded into a page
// that lives on.
const STARTED = Symbol.for("sse-notify-alerts");
if (!(STARTED in globalThis)) {
  Object.defineProperty(globalThis, STARTED, { value: true });
  start();
}
