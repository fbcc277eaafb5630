// Follows a batch over a WebSocket with a credit of 10: node converse.mjs URL KEY BATCH
import WebSocket from "ws";

const [url, key, batch] = process.argv.slice(2);
const seen = [];
const done = (found) => {
  console.log(JSON.stringify(found));
  process.exit();
};
const socket = new WebSocket(url, "pipeline.v1", { headers: { Authorization: key } });
socket.on("open", () => {
  const text = JSON.stringify({ op: "subscribe", batch, credit: 10 });
  socket.send(text.slice(0, 9), { fin: false });
  socket.send(text.slice(9));
  socket.ping("still there?");
});
let pong = null;
socket.on("pong", (data) => (pong = data.toString()));
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.op === "event" && seen.push(message.seq) % 10 === 0)
    socket.send(JSON.stringify({ op: "credit", batch, n: 10 }));
  if (message.op === "end") socket.send("x".repeat(66_000));
});
socket.on("close", (code) => done({ seen, pong, code }));
socket.on("error", (error) => done({ error: String(error) }));
