// @ts-check
// Puts the page together: one context, one view at a time, the events to whom they concern.
import * as api from "./api.js";
import { makeActivity } from "./activity.js";
import { anyDraftOpen } from "./drafts.js";
import { byId, make } from "./html.js";
import { bindKeys } from "./keyboard.js";
import { openHelp } from "./later.js";
import { connect } from "./live.js";
import { goToPlace, makeRouter } from "./router.js";
import { makeStatus } from "./status.js";
import { Store, keyOf } from "./store.js";
import { makeToasts } from "./toasts.js";
import { VERSION } from "./live/version.js";
import { turnDay } from "./words.js";

const NAME = "Pyrite Watch";
const LOG_BACK = 200;
const DAY_CHECK_MS = 30_000;

const main = byId("main");
const store = new Store();
const status = makeStatus(store);
const toasts = makeToasts(byId("toasts"));
const { show } = toasts;
toasts.show = (/** @type {string} */ text, /** @type {any} */ options) => {
  status.say(text); // the one region that speaks
  return show(text, options);
};

/** @type {any} */
let view = null;
/** @type {any} */
const ctx = {
  api, store, status, toasts, live: null, kept: {},
  onSaved: (/** @type {any} */ saved) => (view?.editor ? view.onSaved(saved) : ctx.router.go(api.viewPath(saved.kb, saved.id))),
  onEditorClosed: () => view?.onEditorClosed?.(),
  onActivity: null,
  retitle,
};
const activity = (ctx.activity = makeActivity(store, () => ctx.onActivity?.()));

// ---- title, with what came while nobody looked
const unseen = new Set();
function retitle() {
  document.title = `${unseen.size ? `(${unseen.size}) ` : ""}${[view?.title, NAME].filter(Boolean).join(" · ")}`;
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen.clear();
  retitle();
});

// ---- views
/** @typedef {(ctx: any, main: HTMLElement, route: any) => any} Open */
/** @type {Record<string, () => Promise<Open>>} Each is loaded when it is first shown. */
const VIEWS = {
  home: async () => (await import("./views/home.js")).openHome,
  entries: async () => (await import("./views/entries.js")).openEntries,
  entry: async () => (await import("./views/entry.js")).openEntry,
  search: async () => (await import("./views/search.js")).openSearch,
  problems: async () => (await import("./views/problems.js")).openProblems,
};
/** @type {Record<string, Open>} */
const opened = {};

function openNothing() {
  main.append(
    make("h1", { tabIndex: -1 }, "Nothing is here"),
    make("p.empty", {}, "This address shows nothing. It may be mistyped, or of another version of this page. ", make("a", { href: "./" }, "All knowledge bases")),
  );
  return { title: "Nothing is here", onEvent() {}, close() {} };
}

function openFailed() {
  main.append(
    make("h1", { tabIndex: -1 }, "Not loaded"),
    make("p.empty", {}, "This view could not be loaded: the server does not answer. ", make("button", { type: "button", onclick: () => location.reload() }, "Try again")),
  );
  return { title: "Not loaded", onEvent() {}, close() {} };
}

let shows = 0;
ctx.router = makeRouter(async (route, { scroll, moved, hash }) => {
  const turn = ++shows;
  if (route && !opened[route.name]) {
    // Views of two versions would not fit together.
    if (ctx.isOld && !anyDraftOpen()) return location.reload();
    // What is shown stays until there is something to show in its place.
    await VIEWS[route.name]().then((open) => (opened[route.name] = open), () => {});
    if (turn !== shows) return;
  }
  const open = route ? (opened[route.name] ?? openFailed) : openNothing;
  view?.close();
  main.replaceChildren();
  const mine = (view = open(ctx, main, route));
  retitle();
  if (moved) {
    main.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  if (!scroll && !hash) return;
  await Promise.race([mine.ready, new Promise((done) => setTimeout(done, 2_000))]);
  if (!store.loaded) await loaded;
  await new Promise((done) => requestAnimationFrame(done));
  if (view !== mine) return;
  if (scroll) scrollTo(0, scroll);
  else goToPlace(hash);
});

byId("search").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const { q } = /** @type {any} */ (event.target);
  ctx.router.go(`search?q=${encodeURIComponent(q.value)}`);
});

// ---- events
// What a server that was started again finds on the disk may come just after the `ready`, as live events.
const FOUND_WITHIN_MS = 10_000;
const TELL_AFTER_MS = 400;
let awayUntil = 0;
let awayTimer = 0;
let compacted = false;
function tellAway() {
  clearTimeout(awayTimer);
  awayTimer = setTimeout(() => {
    const text = activity.back(compacted);
    if (text) toasts.show(text, { action: { label: "Show", run: () => ctx.router.go("./") } });
  }, TELL_AFTER_MS);
}

store.onBatch = (/** @type {[any, any][]} */ told) => {
  const found = performance.now() < awayUntil;
  const batch = told.map(([event, info]) => /** @type {[any, any]} */ ([event, { replayed: info.replayed || (found && event.origin === "sweep") }]));
  if (batch.some(([, { replayed }]) => replayed)) tellAway();
  const moved = batch.filter(([{ moved_to }]) => moved_to);
  if (moved.length) import("./draft-keys.js").then(({ moveDrafts }) => moved.forEach(([event]) => void moveDrafts(event)), () => {});
  for (const [event, info] of batch) view?.onEvent(event, info);
  activity.add(batch);
  const changes = batch.filter(([event, info]) => event.entry_id && !info.replayed).map(([event]) => event);
  status.count(changes);
};
store.onHeld = () => status.show();

function pause() {
  if (!store.paused) store.pause();
  else if (store.resume()) reloaded();
  status.show();
}
byId("pause").addEventListener("click", pause);

async function reloaded() {
  await load();
  store.lostCount = false;
  activity.note("Too much changed: reloaded. What happened in between is not listed.");
  toasts.show("Too much changed: reloaded.");
  view?.reload?.();
}

let isFollowed = false;
/** @param {any} live */
function follow(live) {
  ctx.live = live;
  status.follow(live);
  live.on("event", (/** @type {any} */ event, /** @type {any} */ info) => {
    view?.editorEvent?.(event); // at once, also while paused: text being typed is at stake
    // Also what is replayed or held.
    if (document.hidden && event.entry_id && unseen.size < unseen.add(keyOf(event.kb_name, event.entry_id)).size) retitle();
    // Until the first `ready`: what happened while this page was loaded. Nobody was away.
    store.receive(event, isFollowed ? info : { replayed: false });
  });
  live.on("resync", () => {
    store.drop();
    if (!store.paused) reloaded();
  });
  live.on("ready", (/** @type {any} */ ready) => {
    offerReload(ready.server_version);
    store.retry();
    isFollowed = true;
    if (ready.first) return void view?.retry?.();
    store.flush();
    compacted = ready.compacted;
    awayUntil = performance.now() + FOUND_WITHIN_MS;
    tellAway();
    store.loadKbsSoon();
    if (!store.paused) view?.reload?.();
  });
}

// ---- a newer server
let version = VERSION;
/** @param {string | undefined} now */
function offerReload(now) {
  if (!now || version === now) return;
  version = now;
  ctx.isOld = true; // what is not loaded yet would be the newer server's
  const offer = () => (anyDraftOpen() ? setTimeout(offer, 5_000) : toasts.show(`The server is now ${now}.`, { action: { label: "Reload", run: () => location.reload() } }));
  offer();
}

setInterval(turnDay, DAY_CHECK_MS, main, activity.list);

bindKeys(ctx, {
  search: () => byId("search").q.focus(),
  next: () => move(1),
  previous: () => move(-1),
  edit: () => view?.edit?.(),
  pause,
  help: () => openHelp(ctx),
  nextChange: () => view?.nextChange?.(),
});

/** @param {number} step */
function move(step) {
  if (view?.move) return view.move(step);
  const links = [...main.querySelectorAll("[data-kb] a[href]")].filter((link) => link instanceof HTMLElement && link.offsetParent);
  const at = links.indexOf(/** @type {any} */ (document.activeElement));
  /** @type {any} */ (links[Math.max(0, Math.min(links.length - 1, at + step))])?.focus();
}

// ---- start: the state, then what comes after it
async function load() {
  for (let wait_ms = 500; ; wait_ms = Math.min(10_000, wait_ms * 1.7)) {
    try {
      return await store.load();
    } catch (fault) {
      status.fault(fault);
      await new Promise((done) => {
        setTimeout(done, wait_ms);
        addEventListener("online", done, { once: true });
      });
    }
  }
}

async function before() {
  const [epoch, offset] = (store.position ?? "").split(":");
  const since = Math.max(0, Number(offset) - LOG_BACK);
  const { ok, body } = await api.get(`api/events/log?since=${epoch}:${since}&limit=${LOG_BACK}`);
  // What came after the state comes once more, by the socket.
  if (ok) activity.add(body.events.filter((/** @type {any} */ event) => event.offset <= Number(offset)).map((/** @type {any} */ event) => [event, {}]), true);
}

const loaded = load();
ctx.router.start();
await loaded;
await before().catch(() => {});
follow(connect({ since: store.position }));
