// Live counts, local times, and tables that the keyboard can scroll. Everything else works without this file.
"use strict";

const SPEAK_MS = 10000;
const PACE_MS = 10000;

function showLocalTimes() {
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
  const now = new Date();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const isToday = at.toDateString() === now.toDateString();
    const isThisYear = at.getFullYear() === now.getFullYear();
    const date = isToday ? "" : day.format(at) + (isThisYear ? " " : ` ${at.getFullYear()} `);
    element.textContent = date + clock.format(at);
    element.title = `${at.toLocaleString("en-GB")} here, ${element.dateTime}`;
  }
}

function letKeyboardScroll() {
  for (const box of document.querySelectorAll(".wide, .error .value")) {
    if (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight) continue;
    const caption = box.querySelector("caption");
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", caption === null ? "message" : caption.textContent);
  }
}

function setText(element, text) {
  // Unchanged text is left alone: a selection in it stays.
  if (element !== null && element.textContent !== text) element.textContent = text;
}

function showCounts(place, counts) {
  for (const element of place.querySelectorAll("[data-count]")) {
    const value = counts[element.dataset.count];
    if (value === undefined) continue;
    setText(element, value.toLocaleString("en"));
    if (element.dataset.count === "dead" && element.parentElement.localName === "div") {
      element.parentElement.classList.toggle("has-some", value > 0);
    }
  }
  const state = place.querySelector("[data-state] .state");
  if (state !== null && state.textContent !== counts.state) {
    state.textContent = counts.state;
    state.className = `state ${counts.state}`;
  }
  const bar = place.querySelector("[data-progress]");
  if (bar !== null) {
    bar.max = counts.total || 1;
    bar.value = counts.final;
  }
}

function inWords(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// How fast one batch is: over the last ten seconds.
class Pace {
  constructor() {
    this.seen = [];
  }

  describe(counts) {
    const now = Date.now();
    this.seen.push({ at: now, final: counts.final });
    while (this.seen.length > 2 && now - this.seen[1].at > PACE_MS) this.seen.shift();
    const first = this.seen[0];
    const perSecond = ((counts.final - first.final) * 1000) / (now - first.at);
    if (counts.state !== "running" && counts.state !== "open") return "";
    if (!(perSecond > 0) || now - first.at < 1000) return null;
    const rate = perSecond.toLocaleString("en", { maximumFractionDigits: 1 });
    return `· ${rate} items per second, about ${inWords((counts.total - counts.final) / perSecond)} left`;
  }
}

// Says now and then how far a batch is, and at once when its state changes: twice a second would be a flood.
class Speaker {
  constructor(element) {
    this.element = element;
    this.spokenAt = Date.now();
    this.state = null;
  }

  hear(counts) {
    const isNews = this.state !== null && this.state !== counts.state;
    this.state = counts.state;
    if (!isNews && Date.now() - this.spokenAt < SPEAK_MS) return;
    this.spokenAt = Date.now();
    const done = `${counts.final.toLocaleString("en")} of ${counts.total.toLocaleString("en")} done`;
    setText(this.element, `${counts.state}: ${done}, ${counts.dead.toLocaleString("en")} dead`);
  }
}

// Calls `show` with the counts of batches as they change. A hidden tab costs the server nothing.
function follow(url, show) {
  let source = null;
  const close = () => {
    if (source !== null) source.close();
    source = null;
  };
  const open = () => {
    if (source !== null || document.hidden) return;
    source = new EventSource(url);
    source.addEventListener("batch", (event) => show(JSON.parse(event.data), close));
    source.addEventListener("error", (event) => {
      // With data it is the server's: nobody is signed in any more.
      if (event.data !== undefined) window.location.reload();
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  open();
}

function followBatch(article) {
  const pace = new Pace();
  const speaker = new Speaker(document.getElementById("live"));
  follow(article.dataset.stream, (counts, close) => {
    showCounts(article, counts);
    const said = pace.describe(counts);
    if (said !== null) setText(article.querySelector("[data-pace]"), said);
    speaker.hear(counts);
    if (!counts.is_complete) return;
    close();
    // Once more from the server: charts, causes and results of the whole batch.
    window.location.reload();
  });
}

function followList(list) {
  const rows = new Map([...list.querySelectorAll("[data-batch]")].map((row) => [row.dataset.batch, row]));
  const unseen = new Set();
  const news = list.querySelector("[data-news]");
  follow(list.dataset.stream, (counts) => {
    const row = rows.get(counts.batch);
    if (row !== undefined) return showCounts(row, counts);
    // On a page of older or chosen batches, new ones are not missing.
    if (list.dataset.newest === undefined || new Date(counts.created_at) <= new Date(list.dataset.newest)) return;
    if (rows.size === 0) return window.location.reload();
    unseen.add(counts.batch);
    const link = document.createElement("a");
    link.href = window.location.pathname;
    link.textContent = unseen.size === 1 ? "Show 1 new batch" : `Show ${unseen.size} new batches`;
    if (news.textContent !== link.textContent) news.replaceChildren(link);
    news.hidden = false;
  });
}

showLocalTimes();
letKeyboardScroll();
window.addEventListener("resize", letKeyboardScroll);
const live = document.querySelector("[data-stream]");
if (live !== null && "EventSource" in window) {
  if (live.dataset.batch !== undefined) followBatch(live);
  else followList(live);
}
