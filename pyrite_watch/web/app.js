// The plain page: one status, the KBs, and the activity as it comes.
//
// It keeps to the contract of the live socket: load the state, note its position, follow the events
// after it, and after any break resume from the position of the last event that was seen.
// What comes from files (names, ids, paths) is only ever set as text, never as HTML.

const MAX_ROWS = 200;
const SILENCE_MS = 35_000; // the server's heartbeat comes every 15 s: two were missed
const WAKE_SILENCE_MS = 20_000; // after sleep or a change of network, one missed heartbeat is enough
const OPEN_TIMEOUT_MS = 10_000;
const BACKOFF_MIN_MS = 250;
const BACKOFF_MAX_MS = 10_000;
const STEADY_MS = 5_000; // a connection that lived this long starts the back-off afresh
const GONE_AFTER_MS = 1_500; // a shorter break is not worth a banner
const INDEXING_POLL_MS = 500;
const REFRESH_DEBOUNCE_MS = 300;
const REFRESH_MAX_WAIT_MS = 2_000; // a storm must not put the refresh off for ever
const HIDDEN_FLUSH_MS = 1_000; // a hidden tab gets no animation frames
const MAX_PENDING = 1_000;
const STORM_EVENTS = 50; // more than this in one run are summed up, a line for each KB
const STORM_MIN_OF_KB = 5; // a KB with so few of a storm's events keeps them as rows of their own
const RUN_IDLE_MS = 1_000;
const RUN_MS = 5_000; // so that an editor that saves each second never looks like a storm
const STORM_MS = 60_000; // a flood without end gets a line a minute

const $ = (id) => document.getElementById(id);
const url = (path) => new URL(path, document.baseURI);
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const plural = (n, one, many) => `${number.format(n)} ${n === 1 ? one : many}`;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// ---------------------------------------------------------------- status

const state = {
  live: false, // the replay is through, events come as they happen
  everLive: false,
  refused: null, // a sentence: the server answers, but not to us
  indexing: null, // {done, total}
  lostAt: performance.now(),
  lastSeen: null, // Date of the last message
};

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text; // an equal text must not be announced again
}

function showStatus() {
  const { live, refused, indexing } = state;
  let kind = "reconnecting";
  let words = "Reconnecting…";
  if (refused) [kind, words] = ["refused", "Refused"];
  else if (indexing) {
    kind = "indexing";
    words = indexing.total
      ? `Indexing ${number.format(indexing.done)} of ${number.format(indexing.total)}`
      : "Indexing…";
  } else if (live) [kind, words] = ["live", "Live"];
  else if (!state.everLive) [kind, words] = ["connecting", "Connecting…"];

  const status = $("status");
  status.dataset.state = kind;
  setText(status, words);
  // Heard once when it begins, not twice a second while the number grows.
  if (kind === "indexing") requestAnimationFrame(() => status.dataset.state === kind && status.setAttribute("aria-busy", "true"));
  else status.removeAttribute("aria-busy");

  const progress = $("progress");
  progress.hidden = kind !== "indexing" || !indexing.total;
  if (!progress.hidden) {
    progress.max = indexing.total;
    progress.value = indexing.done;
  }

  const gone = !live && !indexing && performance.now() - state.lostAt >= GONE_AFTER_MS;
  const seen = state.lastSeen ? ` What you see is as of ${clock.format(state.lastSeen)}.` : "";
  const cause = navigator.onLine ? "The server does not answer." : "This device is offline.";
  const notice = refused ?? (gone ? `${cause}${seen} This page keeps trying.` : "");
  $("notice").hidden = !notice;
  setText($("notice"), notice);
}

function setLive(live) {
  if (state.live && !live) {
    state.lostAt = performance.now();
    setTimeout(showStatus, GONE_AFTER_MS + 10);
  }
  state.live = live;
  state.everLive ||= live;
  showStatus();
}

// ---------------------------------------------------------------- HTTP

class Refused extends Error {}

async function get(path, timeoutMs = 10_000) {
  const answer = await fetch(url(path), { cache: "no-store", signal: AbortSignal.timeout(timeoutMs) });
  if (answer.status === 401) {
    throw new Refused("This server wants a token. Open the address that it printed when it started.");
  }
  if (answer.status === 403) {
    const { detail } = await answer.json().catch(() => ({}));
    throw new Refused([detail?.message ?? "The server refused this page.", detail?.hint].filter(Boolean).join(" "));
  }
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
  return { body: await answer.json(), position: answer.headers.get("Pyrite-Position") };
}

// While a first index runs, its progress is polled; else nothing is.
let healthTimer = 0;
let healthBusy = false;

async function checkHealth() {
  if (healthBusy) return;
  healthBusy = true;
  clearTimeout(healthTimer);
  const was = state.indexing;
  try {
    state.indexing = (await get("health")).body.indexing ?? null;
  } catch {
    state.indexing = null; // the socket tells what is wrong
  }
  healthBusy = false;
  if (state.indexing) healthTimer = setTimeout(checkHealth, INDEXING_POLL_MS);
  if (state.indexing || was) refreshKbs();
  showStatus();
}

// ---------------------------------------------------------------- knowledge bases

const kbRows = new Map();

function showKbs(kbs) {
  const list = $("kbs");
  const names = new Set(kbs.map((kb) => kb.name));
  for (const [name, row] of kbRows) {
    if (!names.has(name)) {
      row.remove();
      kbRows.delete(name);
    }
  }
  kbs.forEach((kb, at) => {
    const shown = JSON.stringify([kb.entries, kb.description, kb.problems, kb.available]);
    let row = kbRows.get(kb.name);
    if (!row) {
      row = element("li");
      row.dataset.kb = kb.name;
      kbRows.set(kb.name, row);
    }
    if (row.shown !== shown) {
      row.shown = shown;
      fillKb(row, kb);
    }
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
  });
  $("kbs-empty").hidden = kbs.length > 0;
}

function fillKb(row, kb) {
  const name = element("h3", "name");
  name.append(element("span", "", kb.name));
  if (kb.available === false) name.append(element("span", "mark", "unavailable"));
  const parts = [name, element("p", "count", plural(kb.entries ?? 0, "entry", "entries"))];
  if (kb.description) parts.push(element("p", "description", kb.description));
  // Pyrite's own server has no `problems`; ours may tell a number or a list.
  const problems = Array.isArray(kb.problems) ? kb.problems.length : Number(kb.problems ?? 0);
  if (problems > 0) {
    const link = element("a", "problems", plural(problems, "problem", "problems"));
    link.href = url("api/problems").href;
    parts.push(link);
  }
  row.replaceChildren(...parts);
}

let refreshTimer = 0;
let refreshDue = 0; // when a refresh that was put off again and again must run
let refreshing = false;
let refreshAgain = false;

function refreshKbs() {
  const now = performance.now();
  refreshDue ||= now + REFRESH_MAX_WAIT_MS;
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(async () => {
    refreshDue = 0;
    if (refreshing) {
      refreshAgain = true;
      return;
    }
    refreshing = true;
    try {
      showKbs((await get("api/kbs")).body.kbs);
    } catch {
      // Shown by the status when it lasts; a reconnect loads the list again.
    }
    refreshing = false;
    if (refreshAgain) {
      refreshAgain = false;
      refreshKbs();
    }
  }, Math.max(0, Math.min(REFRESH_DEBOUNCE_MS, refreshDue - now)));
}

// ---------------------------------------------------------------- activity

const NO_COUNTS = () => ({ updated: 0, created: 0, deleted: 0 });
const COUNTED = { entry_updated: "updated", entry_created: "created", entry_deleted: "deleted" };
const TELLING = new Set([...Object.keys(COUNTED), "kb_synced"]);

let pending = [];
let flushScheduled = false;
// A run is what came without a pause. It turns into a storm when it grows too large; then its rows
// are folded into one line for each KB.
let run = null;

function queueEvent(event) {
  pending.push(event);
  if (pending.length >= MAX_PENDING) flush();
  else if (!flushScheduled) {
    flushScheduled = true;
    if (document.hidden) setTimeout(flush, HIDDEN_FLUSH_MS);
    else requestAnimationFrame(flush);
  }
}

function flush() {
  flushScheduled = false;
  if (!pending.length) return;
  const events = pending;
  pending = [];

  const now = performance.now();
  const over = run && (now - run.last > RUN_IDLE_MS || now - run.first > (run.storm ? STORM_MS : RUN_MS));
  if (!run || over) run = { first: now, last: now, events: 0, storm: false, kbs: new Map() };
  run.last = now;

  for (const event of events) {
    const part = partOf(event.kb_name);
    const kind = COUNTED[event.type];
    if (kind) {
      run.events += 1;
      part.events += 1;
      part.unsettled[kind] += 1;
    } else settle(part, event);
    part.ts = event.ts;
    part.origins.add(event.origin);
  }
  if (run.events > STORM_EVENTS) run.storm = true;

  const fresh = [];
  for (const event of events) {
    const part = partOf(event.kb_name);
    if (isSummedUp(part)) continue;
    const row = eventRow(event);
    part.rows.push(row);
    fresh.push(row);
  }
  for (const [name, part] of run.kbs) {
    if (!isSummedUp(part)) continue;
    for (const row of part.rows.splice(0)) row.remove();
    if (!part.summary) {
      part.summary = element("li", "sum");
      part.summary.dataset.kb = name;
      fresh.push(part.summary);
    }
    fillSummary(part.summary, name, part);
  }

  const list = $("activity");
  list.prepend(...fresh.slice(-MAX_ROWS).reverse());
  trim(list);
}

function trim(list) {
  while (list.children.length > MAX_ROWS) list.lastElementChild.remove();
  $("activity-empty").hidden = list.children.length > 0;
}

const isSummedUp = (part) => run.storm && part.events > STORM_MIN_OF_KB;

function partOf(kbName) {
  let part = run.kbs.get(kbName);
  if (!part) {
    part = { events: 0, rows: [], summary: null, settled: NO_COUNTS(), unsettled: NO_COUNTS(), origins: new Set() };
    run.kbs.set(kbName, part);
  }
  return part;
}

// The pass's own counts are the better ones: a compacted replay has fewer events than the pass had.
// A REST write is in no pass, so where more events came than the pass tells of, they are counted.
function settle(part, synced) {
  const told = { updated: synced.updated ?? 0, created: synced.added ?? 0, deleted: synced.removed ?? 0 };
  const better = sum(told) >= sum(part.unsettled) ? told : part.unsettled;
  for (const kind of Object.keys(part.settled)) part.settled[kind] += better[kind];
  part.unsettled = NO_COUNTS();
}

const sum = ({ updated, created, deleted }) => updated + created + deleted;

function inWords({ updated, created, deleted }) {
  const words = [
    updated && `${number.format(updated)} changed`,
    created && `${number.format(created)} created`,
    deleted && `${number.format(deleted)} deleted`,
  ];
  return words.filter(Boolean).join(", ");
}

function timeOf(ts) {
  const parsed = new Date(ts ?? Date.now());
  const when = Number.isNaN(parsed.getTime()) ? new Date() : parsed;
  const today = when.toDateString() === new Date().toDateString();
  const time = element("time", "", today ? clock.format(when) : `${day.format(when)}, ${clock.format(when)}`);
  time.dateTime = when.toISOString();
  time.title = full.format(when);
  return time;
}

function kbLabel(name, alone) {
  return element("span", alone ? "kb alone" : "kb", name);
}

function fillSummary(row, name, part) {
  const total = NO_COUNTS();
  for (const kind of Object.keys(total)) total[kind] = part.settled[kind] + part.unsettled[kind];
  const where = element("span", "where");
  where.append(kbLabel(name, true), `: ${inWords(total)}`);
  const origin = part.origins.size === 1 ? [...part.origins][0] : "";
  row.replaceChildren(timeOf(part.ts), element("span", "what", "bulk"), where, element("span", "origin", origin));
}

function noteRow(words) {
  flush(); // what came before it stays below it
  const row = element("li");
  row.append(timeOf(), element("span", "what synced", "note"), element("span", "where detail", words), element("span", "origin"));
  $("activity").prepend(row);
  trim($("activity"));
}

function eventRow(event) {
  const row = element("li", document.hidden ? "" : "fresh");
  row.dataset.kb = event.kb_name;
  const where = element("span", "where");
  let what = COUNTED[event.type];
  if (event.type === "kb_synced") {
    what = "synced";
    where.append(kbLabel(event.kb_name, true), element("span", "detail", ` ${syncedDetail(event)}`));
  } else {
    row.dataset.id = event.entry_id;
    const moved = event.moved_from || event.moved_to || event.previous_path;
    if (moved) what = "moved";
    where.append(kbLabel(event.kb_name), " / ", entryLabel(event));
    const told = movedDetail(event);
    if (told) where.append(element("span", "detail", ` ${told}`));
    if (event.path) where.append(" ", element("span", "path", event.path));
  }
  row.append(timeOf(event.ts), element("span", `what ${what}`, what), where, element("span", "origin", event.origin ?? ""));
  return row;
}

function entryLabel({ type, kb_name, entry_id }) {
  // "." and ".." would be taken for folders, a lone surrogate cannot be written in an address.
  const linkable = type !== "entry_deleted" && !/^\.{1,2}$/.test(entry_id) && !/\p{Surrogate}/u.test(entry_id);
  if (!linkable) return element("span", "id", entry_id);
  const link = element("a", "id", entry_id);
  link.href = url(`api/entries/${encodeURIComponent(entry_id)}?kb=${encodeURIComponent(kb_name)}`).href;
  return link;
}

function movedDetail({ kb_name, moved_from, moved_to, previous_path }) {
  const name = (place) => (place.kb_name === kb_name ? place.entry_id : `${place.kb_name} / ${place.entry_id}`);
  if (moved_from) return `from ${name(moved_from)}`;
  if (moved_to) return `to ${name(moved_to)}`;
  return previous_path ? `from ${previous_path}` : "";
}

function syncedDetail({ updated = 0, added = 0, removed = 0, problems = 0, available }) {
  const words = [inWords({ updated, created: added, deleted: removed }) || "no change"];
  if (problems) words.push(plural(problems, "problem", "problems"));
  if (available === false) words.push("unavailable");
  return words.join(" · ");
}

// ---------------------------------------------------------------- live

let position = null; // {epoch, offset} of the last event seen
let socket = null;
let attempts = 0;
let retryTimer = 0;
let lastHeard = 0; // Date.now(), which goes on while the machine sleeps
let readyAt = 0;
let starting = false;

function parsePosition(text) {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d+)$/.exec(text ?? "");
  return match && { epoch: match[1], offset: Number(match[2]) };
}

function connect() {
  clearTimeout(retryTimer);
  if (socket) return;
  const address = url("ws");
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = `?since=${position ? `${position.epoch}:${position.offset}` : "now"}`;
  const mine = new WebSocket(address);
  socket = mine;
  readyAt = 0;
  lastHeard = Date.now();
  mine.onmessage = ({ data }) => {
    if (socket === mine) receive(data);
  };
  mine.onclose = ({ code }) => {
    if (socket === mine) lost(code);
  };
}

function lost(code) {
  socket = null;
  if (readyAt && Date.now() - readyAt > STEADY_MS) attempts = 0;
  if (code === 4409) position = null; // our position is not one: begin anew
  setLive(false);
  if (code === 4401) state.refused = "This server wants a token. Open the address that it printed when it started.";
  showStatus();
  retry();
}

function retry() {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempts);
  attempts += 1;
  clearTimeout(retryTimer);
  retryTimer = setTimeout(go, ceiling * (0.5 + Math.random() / 2));
}

// Loads what there is to load, then follows the events. Also the way back after a break.
async function go() {
  clearTimeout(retryTimer);
  if (socket || starting) return;
  starting = true;
  checkHealth();
  try {
    if (!position || state.refused) {
      const { body, position: at } = await get("api/kbs");
      position ??= parsePosition(at);
      state.refused = null;
      showKbs(body.kbs);
    }
    connect();
  } catch (error) {
    if (error instanceof Refused) state.refused = error.message;
    showStatus();
    retry();
  } finally {
    starting = false;
  }
}

function receive(data) {
  lastHeard = Date.now();
  state.lastSeen = new Date();
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return;
  }
  switch (message?.type) {
    case "ready":
      readyAt = Date.now();
      advance(message);
      setLive(true);
      checkHealth();
      refreshKbs();
      if (message.compacted) noteRow("Some changes made while this page was away were superseded; only the newest of each entry is listed.");
      break;
    case "resync":
      position = { epoch: message.epoch, offset: message.offset };
      noteRow("The event log began anew, so what happened in between is not listed. The knowledge bases were loaded again.");
      checkHealth();
      refreshKbs();
      break;
    case "heartbeat":
      break;
    default:
      receiveEvent(message);
  }
}

function advance({ epoch, offset }) {
  if (!epoch || !Number.isSafeInteger(offset)) return;
  if (position?.epoch !== epoch || offset > position.offset) position = { epoch, offset };
}

function receiveEvent(event) {
  if (!TELLING.has(event?.type)) return; // of a later version: not known here
  if (event.epoch && event.epoch === position?.epoch && event.offset <= position.offset) return; // seen
  advance(event);
  queueEvent(event);
  if (event.type !== "entry_updated") refreshKbs();
}

function reconnect() {
  const old = socket;
  socket = null;
  old?.close();
  setLive(false);
  go();
}

// True when nothing was heard for so long. A clock that was set back counts as silence: better one
// reconnect too many, it resumes without a gap.
function isSilentFor(ms) {
  const silence = Date.now() - lastHeard;
  return silence > ms || silence < -1_000;
}

function wake() {
  if (!socket || isSilentFor(WAKE_SILENCE_MS)) reconnect();
  else showStatus();
}

setInterval(() => {
  if (socket && isSilentFor(socket.readyState === WebSocket.CONNECTING ? OPEN_TIMEOUT_MS : SILENCE_MS)) reconnect();
}, 2_000);
window.addEventListener("online", wake);
window.addEventListener("offline", showStatus);
window.addEventListener("pageshow", ({ persisted }) => persisted && wake());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  flush();
  wake();
});
setTimeout(showStatus, GONE_AFTER_MS + 10);
go();
