/** Hooks for React. Each listens to a client while its component is mounted. */

import { useEffect, useRef, useState, useSyncExternalStore } from "react";

/** The client of the page's bell. Without a bell, use your own started `new SseNotifyClient(…)`. */
export const pageClient = () => document.querySelector("sse-notify").client;

/** The current `{unread, unseen}`. */
export function useCounts(client) {
  return useSyncExternalStore(
    (changed) => client.on("counts", changed),
    () => client.counts,
  );
}

/** The notifications that arrive while the component is mounted, newest first. */
export function useArrivals(client, most = 20) {
  const [items, setItems] = useState([]);
  useEffect(
    () =>
      client.on("notification", (item) => {
        setItems((before) => [item, ...before.filter(({ id }) => id !== item.id)].slice(0, most));
      }),
    [client, most],
  );
  return items;
}

/** Call a function with the text of each event of a topic. */
export function useTopic(client, topic, onMessage) {
  const latest = useRef(onMessage);
  latest.current = onMessage;
  useEffect(() => {
    const source = client.eventSource(topic);
    source.onmessage = ({ data }) => latest.current(data);
    return () => source.close();
  }, [client, topic]);
}
