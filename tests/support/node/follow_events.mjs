// Follows a batch with the EventSource of npm: node follow_events.mjs URL KEY
import { EventSource } from "eventsource";

const [url, key] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: key } }),
});
const seen = [];
for (const type of ["item.completed", "batch.completed", "end"])
  source.addEventListener(type, (event) => seen.push(type === "end" ? "end" : Number(event.lastEventId)));
source.addEventListener("error", () => {
  if (source.readyState === EventSource.CLOSED) {
    console.log(JSON.stringify(seen));
    process.exit();
  }
});
// Its timer for the next connection does not keep the program running.
setInterval(() => {}, 1_000);
