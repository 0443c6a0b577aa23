// Follows the server's log: from the last line that it has, whenever it was away.
import { fetchEventStream } from "../sse_notify/sse-notify.js";

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const follow = /** @type {HTMLFormElement} */ (find("follow"));
const lines = find("lines");
const SHOWN = 1000; // lines

let lastEventId = "";
let aborter = new AbortController();
/** @type {HTMLElement[]} */
let waiting = [];
let count = 0;
let dropped = 0;

async function start() {
  aborter.abort();
  aborter = new AbortController();
  const { signal } = aborter;
  const filter = new URLSearchParams(/** @type {any} */ (new FormData(follow)));
  say("connecting");
  try {
    await fetchEventStream(`${follow.dataset.stream}?${filter}`, {
      signal,
      lastEventId,
      resume: true,
      onOpen: () => say("open"),
      onError: () => say("waiting"),
      onEvent({ event, data, id }) {
        const told = JSON.parse(data);
        if (event === "line") show(told);
        else if (event === "dropped") tell(told.count);
        lastEventId = id ?? lastEventId;
      },
    });
  } catch {
    if (!signal.aborted) say("failed");
  }
}

function pause() {
  aborter.abort();
  say("closed");
}

/** @param {{ at: number, level: string, logger: string, text: string }} told */
function show({ at, level, logger, text }) {
  const item = copy("line");
  item.dataset.level = level;
  const parts = [new Date(at).toISOString().slice(11, 23), level, logger, text];
  for (const [number, part] of parts.entries()) {
    /** @type {Element} */ (item.children[number]).textContent = part;
  }
  count += 1;
  add(item);
}

/** @param {number} missing */
function tell(missing) {
  const item = copy("hole");
  /** @type {Element} */ (item.firstElementChild).textContent = String(missing);
  dropped += missing;
  add(item);
}

/** Put it on the page with the next frame, however many there are until then. @param {HTMLElement} item */
function add(item) {
  if (waiting.push(item) === 1) requestAnimationFrame(draw);
}

function draw() {
  const follows = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 40;
  lines.append(...waiting.slice(-SHOWN));
  waiting = [];
  while (lines.children.length > SHOWN) lines.firstElementChild?.remove();
  if (follows) lines.scrollTop = lines.scrollHeight;
  find("count").textContent = String(count);
  find("dropped").textContent = String(dropped);
}

/** @param {string} id */
function copy(id) {
  const template = /** @type {HTMLTemplateElement} */ (find(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
}

/** @param {"connecting" | "open" | "waiting" | "closed" | "failed"} state */
function say(state) {
  find("status").dataset.status = state;
  find("pause").hidden = state === "closed";
  find("resume").hidden = state !== "closed";
}

find("pause").addEventListener("click", pause);
find("resume").addEventListener("click", start);
follow.addEventListener("change", start);
find("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  const action = button?.getAttribute("formaction") ?? form.action;
  await fetch(action, { mode: "same-origin", method: "POST", body: new FormData(form) });
});
start();
