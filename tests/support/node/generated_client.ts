// Submits, reads results and replays with a client that is typed by the document: node generated_client.js URL KEY
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [baseUrl, key] = process.argv.slice(2);
const client = createClient<paths, "application/json">({ baseUrl, headers: { Authorization: key } });

const submitted = await client.POST("/v1/batches", {
  body: { definition: "tickets", items: [{ text: "an invoice" }, { text: "nothing known" }] },
});
const batch = submitted.data!.batch_id;
const labels: string[] = [];
let after = 0;
for (;;) {
  const page = await client.GET("/v1/batches/{batch}/results", {
    params: { path: { batch }, query: { after: String(after), wait: 5 } },
  });
  const found = page.data!;
  labels.push(...found.data.map((each) => String(each.state)));
  after = found.next;
  if (found.is_complete && !found.has_more) break;
}
const replayed = await client.POST("/v1/batches/{batch}/dead/replay", { params: { path: { batch } }, body: { all: true } });
console.log(JSON.stringify({ states: labels.sort(), replayed: replayed.data!.replayed }));
