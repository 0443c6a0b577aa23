// Sends a form, and reads its answer as it comes: every part of fetch by hand.
import { EventStreamParser } from "../sse_notify/sse-notify.js";

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {HTMLFormElement} */ (find("form"));
const abort = /** @type {HTMLButtonElement} */ (find("abort"));
const progress = /** @type {HTMLProgressElement} */ (find("progress"));
const text = find("text");
let aborter = new AbortController();

/** @param {{ event: string, data: string }} message */
function heard({ event, data }) {
  const told = JSON.parse(data);
  if (event === "start") {
    say("open");
    progress.max = told.chunks;
    find("all").textContent = told.chunks;
  } else if (event === "chunk") {
    const follows = text.scrollTop + text.clientHeight >= text.scrollHeight - 40;
    text.append(told.text);
    if (follows) text.scrollTop = text.scrollHeight;
    progress.value += 1;
    find("done").textContent = String(progress.value);
  } else if (event === "end") {
    say("done");
  }
}

/** @param {AbortSignal} signal */
async function read(signal) {
  const response = await fetch(form.action, {
    mode: "same-origin",
    method: "POST",
    body: new FormData(form),
    signal,
  });
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  const parser = new EventStreamParser(heard);
  const reader = response.body.getReader();
  // A chunk of the network is no chunk of the view's: it may hold several, or a part of one. The parser puts them together.
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
    parser.feed(chunk.value);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  aborter.abort();
  aborter = new AbortController();
  const { signal } = aborter;
  text.replaceChildren();
  progress.value = 0;
  find("done").textContent = "0";
  say("connecting");
  await read(signal).catch(() => {});
  if (signal.aborted) {
    if (signal === aborter.signal) say("aborted");
  } else if (find("status").dataset.status !== "done") say("failed"); // cut: without "end" it is not complete
});
abort.addEventListener("click", () => aborter.abort());

/** @param {"connecting" | "open" | "done" | "aborted" | "failed"} state */
function say(state) {
  find("status").dataset.status = state;
  abort.disabled = state !== "open" && state !== "connecting";
}
