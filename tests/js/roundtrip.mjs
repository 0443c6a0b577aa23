// Reads streams with an independent parser: each line of standard input is {chunks: [base64, ...]}, each answer is what the parser
// made of the bytes, cut in just these places: {events: [{event, data, id}], retries: [ms], comments: [text], errors: [message]}.
import { createInterface } from "node:readline";
import { createParser } from "eventsource-parser";

for await (const line of createInterface({ input: process.stdin })) {
  const answer = { events: [], retries: [], comments: [], errors: [] };
  const parser = createParser({
    onEvent: ({ event, data, id }) =>
      answer.events.push({ event: event ?? "message", data, id: id ?? null }),
    onRetry: (milliseconds) => answer.retries.push(milliseconds),
    onComment: (text) => answer.comments.push(text),
    onError: (error) => answer.errors.push(error.message),
  });
  const decoder = new TextDecoder();
  for (const chunk of JSON.parse(line).chunks) {
    parser.feed(decoder.decode(Buffer.from(chunk, "base64"), { stream: true }));
  }
  console.log(JSON.stringify(answer));
}
