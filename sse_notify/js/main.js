/** The script that ships, and its exports. In a page it defines `<sse-notify>`. */

// The order is that of the bundle, which is smallest in this one.
export { fetchEventStream } from "./streams.js";

import { SseNotifyElement } from "./element.js";
import { refreshTimes } from "./times.js";

export { SseNotifyClient } from "./client.js";
export { EventStreamParser } from "./parser.js";
export { SseNotifyError } from "./requests.js";
export { safeUrl } from "./urls.js";
export { SseNotifyElement };

if (globalThis.document) {
  if (!customElements.get("sse-notify")) customElements.define("sse-notify", SseNotifyElement);
  refreshTimes(document); // the list page has times too
}
