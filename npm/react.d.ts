import type { Counts, Item, SseNotifyClient } from "sse-notify";

/** The client of the page's bell. */
export function pageClient(): SseNotifyClient;

/** The current counts. */
export function useCounts(client: SseNotifyClient): Counts;

/** The notifications that arrive while the component is mounted, newest first, at most `most` (20). */
export function useArrivals(client: SseNotifyClient, most?: number): Item[];

/** Call `onMessage` with the text of each event of a topic. */
export function useTopic(
  client: SseNotifyClient,
  topic: string,
  onMessage: (data: string) => void,
): void;
