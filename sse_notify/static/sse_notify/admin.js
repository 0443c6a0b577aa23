// The page "Compose broadcast": the numbers and the preview follow what is filled in. Without it the next page shows both.

const WAIT_MS = 300;

/** Keep `part` what the server answers for the form, asked again when the fields change that it is about: all, or those named. */
function follow(form, part) {
  const names = part.dataset.ssenOf?.split(" ");
  let timer;
  let request;

  function ask() {
    request?.abort();
    request = new XMLHttpRequest();
    request.open("POST", part.dataset.ssenFollow);
    // A document, not text: it becomes part of the page without a way for text to turn into a script.
    request.responseType = "document";
    request.onload = () => {
      if (request.status === 200 && request.response) {
        part.replaceChildren(...request.response.body.childNodes);
        part.hidden = false;
      }
    };
    request.send(new FormData(form));
  }

  function changed(event) {
    const name = event.target?.name ?? "";
    if (names ? names.includes(name) : !["audience", "groups", "users", "names"].includes(name)) {
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT_MS);
    }
  }

  form.addEventListener("input", changed);
  // The search field for users tells of a choice through jQuery alone.
  if (window.django?.jQuery) {
    window.django.jQuery(form).on("change", changed);
  } else {
    form.addEventListener("change", changed);
  }
  ask();
}

for (const form of document.querySelectorAll("[data-ssen-compose]")) {
  for (const part of form.querySelectorAll("[data-ssen-follow]")) {
    follow(form, part);
  }
}
