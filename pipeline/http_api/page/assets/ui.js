// Live counts and local times. Everything else works without this file.
"use strict";

function showLocalTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) element.textContent = at.toLocaleString();
  }
}

function show(counts) {
  for (const element of document.querySelectorAll("[data-count]")) {
    const value = counts[element.dataset.count];
    if (value === undefined) continue;
    const text = typeof value === "number" ? value.toLocaleString("en") : value;
    // Unchanged text is left alone, so that a screen reader is not told it again.
    if (element.textContent !== text) element.textContent = text;
  }
  const bar = document.querySelector("[data-progress]");
  if (bar) {
    bar.max = counts.total || 1;
    bar.value = counts.final;
  }
}

function follow(live) {
  let source = null;
  const open = () => {
    if (source !== null || document.hidden) return;
    source = new EventSource(live.dataset.stream);
    source.addEventListener("batch", (event) => show(JSON.parse(event.data)));
    source.addEventListener("end", () => {
      source.close();
      // Once more from the server: charts, causes and results of the whole batch.
      window.location.reload();
    });
  };
  // A hidden tab costs the server nothing, and catches up when it is shown.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    if (source !== null) source.close();
    source = null;
  });
  open();
}

showLocalTimes();
const live = document.getElementById("live");
if (live !== null && live.dataset.isComplete === "no" && "EventSource" in window) follow(live);
