// Reads a stream by hand, to show its bytes. An EventSource does the same by itself, and hides them.
import { EventStreamParser } from "../sse_notify/sse-notify.js";

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const connect = /** @type {HTMLButtonElement} */ (find("connect"));
const cut = /** @type {HTMLButtonElement} */ (find("cut").querySelector("button"));
const frames = find("frames");
const SHOWN = 200; // frames

let connection = "";
let lastEventId = "";
let replayedUpTo = 0;
let retry = 2000; // milliseconds
let bytes = 0;
let rest = "";
/** @type {AbortController | null} */
let aborter = null;

/** Read one answer to its end, whoever ends it. @param {AbortSignal} signal */
async function read(signal) {
  /** @type {Record<string, string>} */
  const headers = lastEventId ? { "Last-Event-ID": lastEventId } : {};
  const response = await fetch(find("lab").dataset.stream ?? "", {
    mode: "same-origin",
    headers,
    signal,
    cache: "no-store",
  });
  if (!response.ok || !response.body) return;
  say("open");
  const decoder = new TextDecoder();
  const parser = new EventStreamParser(heard, (milliseconds) => {
    retry = milliseconds;
    find("retry").textContent = `${retry} ms`;
  });
  const reader = response.body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    parser.feed(chunk.value);
    bytes += chunk.value.length;
    find("bytes").textContent = String(bytes);
    show(decoder.decode(chunk.value, { stream: true }));
    lastEventId = parser.lastEventId || lastEventId;
    find("last").textContent = lastEventId || "–";
  }
}

/** Stay connected until the visitor has had enough. */
async function stay() {
  aborter = new AbortController();
  const { signal } = aborter;
  while (!signal.aborted) {
    say("connecting");
    rest = "";
    await read(signal).catch(() => {}); // a break of the network is an end like any other
    if (signal.aborted) break;
    say("waiting");
    await new Promise((resolve) => {
      setTimeout(resolve, retry);
      signal.addEventListener("abort", resolve);
    });
  }
  say("closed");
}

/** @param {{ event: string, data: string }} message */
function heard({ event, data }) {
  if (event !== "hello") return;
  const hello = JSON.parse(data);
  connection = hello.connection;
  replayedUpTo = lastEventId ? hello.newest : 0;
}

/** Show the blocks that are complete; a comment is a line. @param {string} text */
function show(text) {
  const blocks = (rest + text).split(/\n\n|(?<=^:.*)\n/m);
  rest = blocks.pop() ?? "";
  const follows = frames.scrollTop + frames.clientHeight >= frames.scrollHeight - 40;
  for (const block of blocks) frames.append(frame(block));
  while (frames.children.length > SHOWN) frames.firstElementChild?.remove();
  if (follows) frames.scrollTop = frames.scrollHeight;
}

/** @param {string} block */
function frame(block) {
  const template = /** @type {HTMLTemplateElement} */ (find("frame"));
  const item = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = document.createElement("b");
    field.textContent = line.slice(0, colon);
    item.querySelector("pre")?.append(field, `${line.slice(colon)}\n`);
  }
  const id = Number(/^id: (\d+)$/m.exec(block)?.[1] ?? 0);
  const kind = block.startsWith(":") ? "comment" : id && id <= replayedUpTo ? "replayed" : "";
  for (const note of item.querySelectorAll("[data-of]"))
    note.toggleAttribute("hidden", note.getAttribute("data-of") !== kind);
  return item;
}

/** @param {"closed" | "connecting" | "open" | "waiting"} state */
function say(state) {
  find("status").dataset.status = state;
  connect.hidden = state !== "closed";
  find("disconnect").hidden = state === "closed";
  cut.disabled = state !== "open";
}

connect.addEventListener("click", stay);
find("disconnect").addEventListener("click", () => aborter?.abort());
for (const form of document.querySelectorAll("form#send, form#cut")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { action, id } = /** @type {HTMLFormElement} */ (form);
    const body = new FormData(/** @type {HTMLFormElement} */ (form));
    if (id === "cut") body.set("connection", connection);
    const response = await fetch(action, { mode: "same-origin", method: "POST", body });
    if (id === "send" && response.ok) /** @type {HTMLFormElement} */ (form).reset();
  });
}
stay();
