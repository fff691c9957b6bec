// Keeps the parts of a page current. A part is an element with an id and data-live, the address of the page that has it. Events of
// data-watch, and the clock, make this module fetch that page and take over what has changed, so the server alone makes HTML.
import { localizeTimes } from "./times.js";
import { morph } from "./morph.js";

const part = document.querySelector("[data-live]");
const status = document.querySelector("[data-live-status]");
const news = document.querySelector("[data-live-news]");

const soon = 300; // Milliseconds in which events make one fetch.
const rest = 4; // A fetch is followed by a pause this many times as long as it took, so that slow pages are fetched rarely.
let source, resume = "", timer, due = 0, pauseUntil = 0, busy = false, again = false, retry;
let known; // The states that were announced.

if (part) {
  known = states();
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) start(); });
  setInterval(tick, 1000);
  if (!document.hidden) start(true);
}

/** Opens the stream of events. A page that was hidden may be old, so it is fetched at once. */
function start(fresh) {
  follow();
  if (fresh === true) plan(interval());
  else plan(0);
}

function stop() {
  source?.close();
  source = undefined;
  clearTimeout(timer);
  clearTimeout(retry);
  retry = undefined;
  due = 0;
  say("");
}

function watch() {
  const url = new URL(part.dataset.watch, location);
  if (resume) url.searchParams.set(part.dataset.resume ?? "resumeToken", resume);
  say(resume ? "reconnecting" : "connecting");
  source = new EventSource(url);
  source.addEventListener("open", () => say("live"));
  for (const name of ["event", "bookmark", "task"]) {
    source.addEventListener(name, (event) => {
      resume = event.lastEventId || resume;
      if (name === "event") changed(JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    say("reconnecting");
    if (source?.readyState !== EventSource.CLOSED) return;
    // The server refuses the stream, maybe for its resume token, or the task has ended. The page says which.
    source = undefined;
    resume = "";
    plan(0);
    retry = setTimeout(() => { retry = undefined; follow(); }, 5000);
  });
}

/** Opens or closes the stream as the part wants it: a task that has ended has no more events. */
function follow() {
  if (part.dataset.watch && !source && !document.hidden) watch();
  if (!part.dataset.watch) {
    source?.close();
    source = undefined;
    clearTimeout(retry);
    retry = undefined;
    if ("active" in part.dataset) say("live", "Updated every few seconds");
    else say("");
  }
}

/** Takes over one event: the badge at once, the rest with the next fetch. */
function changed(data) {
  const id = data.event ? data.event.taskId : "";
  const state = (data.event ? data.event.event.state : data.state)?.replace("TASK_STATE_", "");
  if (id) {
    const row = document.getElementById("t-" + id);
    const badge = row?.querySelector(".badge");
    if (badge && state) {
      badge.textContent = badge.dataset.state = row.dataset.state = state;
    } else if (!row && !("first" in part.dataset)) {
      return; // Older pages do not get new tasks.
    }
  } else if (["SUCCEEDED", "FAILED", "CANCELED"].includes(state)) {
    source.close(); // The stream ends here. Left open, it would be opened again in vain.
    source = undefined;
  }
  plan(soon);
}

/** The time until a page is fetched without an event: what a task waits for, and how old it is, change without one. */
function interval() { return "active" in part.dataset ? 5000 : 60000; }

/** Fetches the page in this many milliseconds at the latest, or after the pause that follows a fetch. */
function plan(ms) {
  const at = Math.max(performance.now() + ms, pauseUntil);
  if (due && due <= at) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(refresh, at - performance.now());
}

async function refresh() {
  due = 0;
  if (document.hidden) return;
  if (busy) { again = true; return; }
  busy = true;
  const begun = performance.now();
  try {
    const response = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
    if (response.redirected && new URL(response.url).pathname === "/login") {
      stop();
      say("ended", "Signed out. Reload the page.");
      return;
    }
    if (response.ok) take(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch {
    say("reconnecting");
  } finally {
    busy = false;
    pauseUntil = performance.now() + Math.max(700, rest * (performance.now() - begun));
    if (status?.dataset.live !== "ended" && !document.hidden) plan(again ? 0 : interval());
    again = false;
  }
}

function take(page) {
  const next = page.getElementById(part.id);
  if (!next) return;
  morph(part, next);
  localizeTimes(part);
  part.dispatchEvent(new Event("refract:updated", { bubbles: true })); // Other modules add to what is new.
  document.title = page.title;
  if (!part.dataset.watch || (!source && !retry)) follow();
  if (source?.readyState === EventSource.OPEN) say("live");
  announce(states());
}

/** The states of what the page shows, by the ids of their elements. */
function states() {
  const all = [part, ...part.querySelectorAll("tr[id]")].filter((element) => element.dataset.state);
  return new Map(all.map((element) => [element.id, element.dataset.state]));
}

/** Says in one sentence what changed, for those who hear the page. */
function announce(after) {
  const said = [];
  for (const [id, state] of after) if (known.has(id) ? known.get(id) !== state : "first" in part.dataset) said.push(state);
  known = after;
  if (said.length && news) news.textContent = said.length > 1 ? `${said.length} tasks changed` : `A task is ${said[0]} now`;
}

function say(state, text) {
  if (!status) return;
  status.dataset.live = state;
  const words = text ?? { live: "Live", reconnecting: "Reconnecting…", connecting: "Connecting…" }[state] ?? "";
  if (status.textContent !== words) status.textContent = words;
}

/** Moves progress bars between two fetches. */
function tick() {
  if (document.hidden) return;
  for (const bar of part.querySelectorAll("progress[value]")) bar.value = Math.min(bar.value + 1, bar.max * 0.97);
}
