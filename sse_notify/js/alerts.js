/** Reach somebody who looks elsewhere: a sound, a notification of the desktop. Both are off unless the widget asks for them. */

/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { isHidden } from "./parts.js";

const QUIET = 3_000; // ms between two sounds
const BURST = 3; // popups at once; more become one

let sounded = 0;

/** What the browser says of popups; "denied" where it has none. */
export const permission = () => globalThis.Notification?.permission ?? "denied";

/**
 * Make a sound, unless there was one just now. Browsers let no page be loud that nobody has touched.
 *
 * @param {string} sound "on", or the address of a file.
 */
export function ring(sound) {
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
  volume.gain.value = 0.1;
  volume.gain.exponentialRampToValueAtTime(0.001, 0.4);
  pitch.start();
  pitch.stop(0.4);
  pitch.onended = () => audio.close();
}

/**
 * @param {Item[]} items What has just arrived.
 * @param {string} many What to say of more than a few.
 * @param {(item?: Item) => void} onClick
 */
export function popUp(items, many, onClick) {
  if (!isHidden() || permission() !== "granted") return;
  for (const item of items.length > BURST ? [undefined] : items) {
    try {
      const shown = new Notification(item?.title ?? many, { body: item?.body ?? "", tag: item?.key || `ssen-${item?.id}` });
      shown.onclick = () => {
        shown.close();
        focus();
        onClick(item);
      };
    } catch {
      // Android has them in service workers alone.
    }
  }
}
