// Conversations, side by side: each has a history of its own, and an answer on its way if it was asked something.
import { fetchEventStream } from "../sse_notify/sse-notify.js";

/** @typedef {{ role: "user" | "assistant", content: string }} Message */

const copy = (/** @type {string} */ id) => {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
};
const find = (/** @type {HTMLElement} */ where, /** @type {string} */ what) =>
  /** @type {HTMLElement} */ (where.querySelector(what));

function converse() {
  const card = copy("conversation");
  const form = /** @type {HTMLFormElement} */ (card.querySelector("form"));
  const field = /** @type {HTMLTextAreaElement} */ (card.querySelector("textarea"));
  /** @type {Message[]} */
  const history = [];
  let aborter = new AbortController();

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const content = field.value.trim();
    if (!content || isBusy()) return;
    form.reset();
    history.push({ role: "user", content });
    render(add("user"), content);
    const place = add("assistant");
    busy(place, true);
    aborter = new AbortController();
    const said = await ask(place, form.action, history, aborter.signal);
    busy(place, false);
    if (said) history.push({ role: "assistant", content: said });
    else history.pop(); // what was not answered was not asked
    field.focus({ preventScroll: true });
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  find(card, "[data-stop]").addEventListener("click", () => aborter.abort());
  for (const idea of card.querySelectorAll("[data-ask]")) {
    idea.addEventListener("click", () => {
      field.value = idea.textContent ?? "";
      form.requestSubmit();
    });
  }

  /** @param {Message["role"]} role */
  function add(role) {
    const item = copy("message");
    item.classList.add(`said--${role}`);
    find(card, "ol").append(item);
    const list = find(card, ".said-list");
    list.scrollTop = list.scrollHeight;
    return item;
  }
  /** @param {HTMLElement} place @param {boolean} is */
  function busy(place, is) {
    place.classList.toggle("said--busy", is);
    find(card, "[data-send]").hidden = is;
    find(card, "[data-stop]").hidden = !is;
  }
  const isBusy = () => find(card, "[data-send]").hidden;

  document.getElementById("conversations")?.append(card);
  return field;
}

/**
 * Have a conversation answered, show the answer as it comes, and return what was said.
 *
 * @param {HTMLElement} place
 * @param {string} url
 * @param {Message[]} messages
 * @param {AbortSignal} signal
 */
async function ask(place, url, messages, signal) {
  const list = /** @type {HTMLElement} */ (place.closest(".said-list"));
  let text = "";
  let outcome = "failed"; // without its end it is not the whole answer
  try {
    await fetchEventStream(url, {
      body: { messages },
      signal,
      onEvent({ event, data }) {
        const follows = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
        if (data === "[DONE]") outcome = "done";
        else if (event === "sources") link(place, JSON.parse(data).links);
        else if (event === "message") {
          text += JSON.parse(data).text;
          render(place, text);
        }
        if (follows) list.scrollTop = list.scrollHeight;
      },
    });
  } catch (error) {
    if (signal.aborted) outcome = "stopped";
    else if (/** @type {{ status?: number }} */ (error).status === 429) outcome = "too_many";
  }
  for (const note of place.querySelectorAll("[data-of]"))
    note.toggleAttribute("hidden", note.getAttribute("data-of") !== outcome);
  return text;
}

/** Show text as text; what stands between two fences is code. @param {HTMLElement} place @param {string} text */
function render(place, text) {
  const blocks = text.split(/^```.*\n?/m).map((part, number) => {
    const block = document.createElement(number % 2 ? "pre" : "p");
    block.textContent = number % 2 ? part : part.trim();
    if (number % 2) block.tabIndex = 0; // so that keys can scroll it
    return block;
  });
  find(place, "div").replaceChildren(...blocks.filter((block) => block.textContent));
}

/** @param {HTMLElement} place @param {{ title: string, url: string }[]} links */
function link(place, links) {
  for (const { title, url } of links) {
    const anchor = document.createElement("a");
    anchor.textContent = title;
    anchor.href = url;
    const item = document.createElement("li");
    item.append(anchor);
    find(place, "ul").append(item);
  }
}

document.getElementById("another")?.addEventListener("click", () => converse().focus());
converse();
