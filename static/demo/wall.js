// The wall: what others write appears by itself, what was missed is asked for.

const wall = /** @type {HTMLElement} */ (document.querySelector("[data-wall]"));
const { stream = "", newer = "" } = wall.dataset;
const list = /** @type {HTMLElement} */ (wall.querySelector("[data-messages]"));
const blank = /** @type {HTMLTemplateElement} */ (wall.querySelector("template"));
const status = /** @type {HTMLElement} */ (wall.querySelector("[data-status]"));
const form = /** @type {HTMLFormElement} */ (wall.querySelector("form"));
const errors = /** @type {HTMLElement} */ (wall.querySelector("[data-errors]"));

/** @typedef {{ pk: number, name: string, text: string, at: string }} Message */

/** The messages that are shown, newest first. @returns {HTMLElement[]} */
const shown = () => [...list.querySelectorAll("li")];
const newest = () => Math.max(0, ...shown().map((item) => Number(item.dataset.message)));

/** Show a time as the visitor's own clock has it. @param {HTMLElement} place */
function showTime(place) {
  const at = new Date(place.getAttribute("datetime") ?? "");
  place.textContent = at.toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" });
}

/** @param {Message} message */
function show({ pk, name, text, at }) {
  if (shown().some((item) => item.dataset.message === String(pk))) return;
  const item = /** @type {HTMLElement} */ (
    document.importNode(blank.content, true).firstElementChild
  );
  /** @type {(part: string) => HTMLElement} */
  const part = (which) => /** @type {HTMLElement} */ (item.querySelector(`[data-${which}]`));
  item.dataset.message = String(pk);
  // Text stays text: nothing that somebody wrote becomes markup.
  if (name) part("name").textContent = name;
  part("text").textContent = text;
  part("at").setAttribute("datetime", at);
  showTime(part("at"));
  const after = shown().find((other) => Number(other.dataset.message) < pk);
  list.insertBefore(item, after ?? null);
  for (const old of shown().slice(Number(wall.dataset.limit))) old.remove();
}

list.querySelectorAll("time").forEach(showTime);

// Who is signed in has a bell, whose stream all tabs of a browser share. A visitor has the browser's own, which hears the server's hello.
const client = /** @type {any} */ (document.querySelector("sse-notify"))?.client;
const source = /** @type {EventSource} */ (
  client?.eventSource("wall") ?? new EventSource(`${stream}?topic=wall`)
);
source.addEventListener("wall", (event) => show(JSON.parse(event.data)));
source.addEventListener(client ? "open" : "hello", async () => {
  for (const message of (
    await (await fetch(`${newer}?after=${newest()}`, { mode: "same-origin" })).json()
  ).messages)
    show(message);
  if (source.readyState === 1) status.dataset.status = "open";
});
source.addEventListener("error", () => {
  // It comes back by itself, unless the server refuses.
  status.dataset.status = source.readyState === EventSource.CLOSED ? "failed" : "waiting";
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(form.action, {
    mode: "same-origin",
    method: "POST",
    body: new FormData(form),
    headers: { Accept: "application/json" },
  });
  errors.textContent = answer.ok ? "" : (await answer.json()).errors.join(" ");
  const text = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("text"));
  if (answer.ok) text.value = "";
  text.focus();
});
