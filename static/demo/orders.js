// Watches the orders of this page: a topic for each order.

const page = /** @type {HTMLElement} */ (document.querySelector("[data-orders]"));
const { stream = "", states = "" } = page.dataset;
const cards = /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll("[data-order]"));
const status = /** @type {HTMLElement} */ (page.querySelector("[data-status]"));

/** @param {{ pk: number, reached: Record<string, string>, is_over: boolean }} order */
function show(order) {
  const card = page.querySelector(`[data-order="${order.pk}"]`);
  if (!card) return;
  for (const step of /** @type {NodeListOf<HTMLElement>} */ (
    card.querySelectorAll("[data-state]")
  )) {
    const at = order.reached[step.dataset.state ?? ""];
    const time = /** @type {HTMLTimeElement} */ (step.querySelector("time"));
    step.toggleAttribute("data-reached", Boolean(at));
    time.dateTime = at ?? "";
    time.textContent = at
      ? new Date(at).toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" })
      : "";
  }
  card.querySelector("button")?.toggleAttribute("disabled", order.is_over);
}

if (cards.length) {
  // Not a stream of its own: that of the bell, which all tabs of a browser share.
  const { client } = /** @type {any} */ (document.querySelector("sse-notify"));
  const topics = [...cards].map((card) => `order.${card.dataset.order}`);
  const source = client.eventSource(...topics);
  source.addEventListener("order", (/** @type {any} */ { data }) => show(JSON.parse(data)));
  // A topic is not replayed: what happened before the stream was open, or between two of them, is asked for.
  source.addEventListener("open", async () => {
    for (const order of (await (await fetch(states, { mode: "same-origin" })).json()).orders)
      show(order);
    if (source.readyState === 1) status.dataset.status = "open";
  });
  source.addEventListener("error", () => {
    status.dataset.status = source.readyState === source.CLOSED ? "failed" : "waiting";
  });
}

// The buttons are ordinary forms. Sent by the script, they leave the page where it is: the stream shows what they did.
page.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.closest("[data-order]")) return;
  event.preventDefault();
  await fetch(form.action, {
    mode: "same-origin",
    method: "POST",
    body: new FormData(form),
    redirect: "manual",
  });
});

// Somebody else's order: the server refuses the whole stream.
const probe = /** @type {HTMLElement | null} */ (page.querySelector("[data-foreign]"));
probe?.addEventListener("click", async () => {
  const gone = new AbortController();
  const answer = await fetch(`${stream}?topic=order.${probe.dataset.foreign}`, {
    mode: "same-origin",
    signal: gone.signal,
  });
  const output = /** @type {HTMLElement} */ (page.querySelector("output"));
  output.textContent = `${answer.status} ${answer.ok ? answer.headers.get("Content-Type") : await answer.text()}`;
  output.hidden = false;
  gone.abort();
});
