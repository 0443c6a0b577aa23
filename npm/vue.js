/** Composables for Vue. Each listens to a client until its scope ends. */

import { onScopeDispose, readonly, ref, shallowRef } from "vue";

/** The client of the page's bell. Without a bell, use your own started `new SseNotifyClient(…)`. */
export const pageClient = () => document.querySelector("sse-notify").client;

/** The current `{unread, unseen}`. */
export function useCounts(client) {
  const counts = shallowRef(client.counts);
  onScopeDispose(
    client.on("counts", (value) => {
      counts.value = value;
    }),
  );
  return readonly(counts);
}

/** The notifications that arrive while the component is mounted, newest first. */
export function useArrivals(client, most = 20) {
  const items = ref([]);
  onScopeDispose(
    client.on("notification", (item) => {
      items.value = [item, ...items.value.filter(({ id }) => id !== item.id)].slice(0, most);
    }),
  );
  return items;
}

/** Call a function with the text of each event of a topic. */
export function useTopic(client, topic, onMessage) {
  const source = client.eventSource(topic);
  source.onmessage = ({ data }) => onMessage(data);
  onScopeDispose(() => source.close());
}
