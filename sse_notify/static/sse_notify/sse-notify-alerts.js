// Sounds, desktop notifications, and a count in the page's title. The widget loads this file when its tag asks for one of them.
// It uses only the public events of sse-notify.js.

const QUIET = 3000; // ms between two sounds
const COLLECT = 200; // ms in which what arrives is told together
const BURST = 3; // popups at once; more become one
const MOST_SHOWN = 99;
const SEEN = "sse-notify:seen"; // a lock of all tabs that are seen

/** @typedef {import("./sse-notify.js").SseNotifyElement} Widget */
/** @typedef {import("./sse-notify.js").Item} Item */

/** What has arrived while the page was hidden, and is on no desktop yet. @type {Item[]} */
let items = [];
let sounded = 0;
/** What was put before the page's title. */
let prefix = "";

/** Gives the lock back. @type {(value?: unknown) => void} */
let lookAway = () => {};

const isHidden = () => document.visibilityState === "hidden";

const permission = () => globalThis.Notification?.permission ?? "denied";

/** Make a sound, unless there was one just now. Browsers let no page be loud that nobody has touched. @param {string} sound */
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
 * Show one on the desktop.
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
    // Android has them in service workers alone.
  }
}

/** Follow a notification, under the widget's rules for addresses. @param {Widget} widget @param {Item} item */
function follow(widget, { id, url }) {
  widget.client?.markRead([id]).catch(() => {});
  const address = URL.canParse(url, document.baseURI) ? new URL(url, document.baseURI) : null;
  if (
    !url ||
    !address ||
    !/^https?:$/.test(address.protocol) ||
    address.username ||
    address.password
  )
    return;
  if (address.origin !== location.origin && !("external" in widget.dataset)) return;
  location.assign(address);
}

/** Hold the lock for as long as the page is seen. */
function look() {
  lookAway();
  const hold = () =>
    isHidden() ||
    new Promise((resolve) => {
      lookAway(); // it was asked for twice
      lookAway = resolve;
    });
  if (!isHidden()) navigator.locks?.request(SEEN, { mode: "shared" }, hold).catch(() => {});
}

/** @param {Widget} widget */
async function raise(widget) {
  const told = items;
  items = [];
  // The user may look at another tab than the one with the stream.
  const { held } = (await navigator.locks?.query()) ?? {};
  if (held?.some(({ name }) => name === SEEN)) return;
  const live = /** @type {HTMLElement | null} */ (widget.querySelector("[data-ssen=live]"));
  if (told.length <= BURST) {
    for (const item of told)
      popUp(item.title, { body: item.body, tag: item.key || `${item.id}` }, () =>
        follow(widget, item),
      );
  } else {
    popUp(
      (live?.dataset.many ?? "{count}").replace("{count}", `${told.length}`),
      { tag: "sse-notify" },
      () => widget.open(),
    );
  }
}

/** @param {Widget} widget */
function show(widget) {
  for (const button of widget.querySelectorAll("[data-ssen=desktop]")) {
    /** @type {HTMLElement} */ (button).hidden = permission() !== "default";
  }
  if (!("titleBadge" in widget.dataset) || !widget.client) return;
  const { state, counts } = widget.client;
  const count =
    state === "unauthorized" ? 0 : counts[widget.dataset.badge === "unseen" ? "unseen" : "unread"];
  const { title } = document;
  const own = title.startsWith(prefix) ? title.slice(prefix.length) : title; // the page may have changed it
  prefix = count ? `(${count > MOST_SHOWN ? `${MOST_SHOWN}+` : count}) ` : "";
  if (title !== prefix + own) document.title = prefix + own;
}

const widgets = () => /** @type {NodeListOf<Widget>} */ (document.querySelectorAll("sse-notify"));

for (const type of ["counts", "state"])
  addEventListener(`sse-notify:${type}`, () => widgets().forEach(show));

// At the window, where an event arrives last: whoever did not want it told has said so.
addEventListener("sse-notify:notification", (event) => {
  const { detail, defaultPrevented, target } = /** @type {CustomEvent} */ (event);
  const widget = /** @type {Widget} */ (target);
  // One tab of a browser is enough.
  if (defaultPrevented || detail.silent || detail.replayed || !widget.client?.leading) return;
  const { sound, desktop } = widget.dataset;
  if (sound) ring(sound);
  if (desktop === undefined || !isHidden() || permission() !== "granted") return;
  if (!items.length) setTimeout(raise, COLLECT, widget);
  items.push(detail);
});

addEventListener("click", (event) => {
  if (!(/** @type {Element} */ (event.target).closest?.("[data-ssen=desktop]"))) return;
  Notification.requestPermission().then(() => widgets().forEach(show));
});

document.addEventListener("visibilitychange", look);
look();

widgets().forEach(show);
