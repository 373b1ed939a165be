// @ts-check
// How the page stands, in words, in the one region with role=status; the banner for a longer break; pause.
import { get, inWords } from "./api.js";
import { byId, make, setText } from "./html.js";
import { changesInWords, clockOf, count } from "./words.js";

const GONE_AFTER_MS = 1_500; // a shorter break is not worth a banner
const POLL_MS = 500; // the progress of a first index
const SAY_AFTER_MS = 1_000; // one summary a burst
const SAY_EVERY_MS = 6_000;
const SAID_FOR_MS = 6_000;

/** @param {import("./store.js").Store} store */
export function makeStatus(store) {
  const region = byId("status");
  const [word, told] = region.children;
  const [notice, progress, button] = [byId("notice"), byId("progress"), byId("pause")];
  let state = "connecting";
  let refused = "";
  /** @type {Date | null} */
  let since = new Date();
  /** @type {{done: number, total: number} | null} */
  let indexing = null;
  let everLive = false;
  let timer = 0;

  function show() {
    const lost = state !== "live";
    let [kind, words] = everLive || state === "reconnecting" ? ["reconnecting", "Reconnecting…"] : ["connecting", "Connecting…"];
    if (refused) [kind, words] = ["refused", "Refused"];
    else if (indexing) [kind, words] = ["indexing", indexing.total ? `Indexing ${count(indexing.done)} of ${count(indexing.total)}` : "Indexing…"];
    else if (!lost) [kind, words] = store.paused ? ["paused", "Paused"] : ["live", "Live"];
    region.dataset.state = kind;
    setText(word, words);
    // Heard once as it begins, not twice a second while the number grows.
    region.setAttribute("aria-busy", String(kind === "indexing"));
    progress.hidden = !indexing?.total;
    if (indexing?.total) [progress.max, progress.value] = [indexing.total, indexing.done];

    setText(button, store.paused ? "Resume" : "Pause");
    const held = store.paused && store.held ? `${count(store.held)} held` : "";
    byId("held").hidden = !held;
    setText(byId("held"), held);

    clearTimeout(timer);
    const wait = since ? GONE_AFTER_MS - (Date.now() - since.getTime()) : 0;
    const gone = lost && !indexing && since;
    if (gone && wait > 0) timer = setTimeout(show, wait + 10);
    const cause = navigator.onLine ? "The server does not answer" : "This device is offline";
    const text = refused || (gone && wait <= 0 ? `${cause} since ${clockOf(since ?? undefined)}. What you see stays; this page keeps trying.` : "");
    notice.hidden = !text;
    notice.classList.toggle("bad", Boolean(text));
    setText(notice, text);
  }

  let polling = false;
  let owed = false; // what was indexed is still to be loaded
  async function checkIndexing() {
    if (polling) return;
    polling = true;
    try {
      owed ||= Boolean(indexing);
      indexing = (await get("health")).body?.indexing ?? null;
      if (indexing) store.loadKbsSoon();
      else if (owed && !store.paused) {
        await store.load(); // the state without events: a first index tells none
        owed = false;
      }
    } catch {
      indexing = null; // the socket says what is wrong
    }
    polling = false;
    if (indexing) setTimeout(checkIndexing, POLL_MS);
    show();
  }

  // ---- one summary a burst
  /** @type {Map<string, {updated: number, created: number, deleted: number}>} */
  let burst = new Map();
  let sayTimer = 0;
  let burstAt = 0;
  let quietTimer = 0;
  /** @param {string} text */
  function say(text) {
    clearTimeout(quietTimer);
    told.replaceChildren(make("span", {}, ` ${text}`)); // a new node: an equal text is said again
    quietTimer = setTimeout(() => told.replaceChildren(), SAID_FOR_MS);
  }
  const KINDS = { entry_updated: "updated", entry_created: "created", entry_deleted: "deleted" };

  addEventListener("online", show);
  addEventListener("offline", show);
  return {
    say,
    show,
    checkIndexing,
    get isIndexing() {
      return Boolean(indexing);
    },
    /** @param {any[]} events */
    count(events) {
      for (const { type, kb_name } of events) {
        const kind = /** @type {any} */ (KINDS)[type];
        if (!kind) continue;
        const counts = burst.get(kb_name) ?? { updated: 0, created: 0, deleted: 0 };
        burst.set(kb_name, counts);
        /** @type {any} */ (counts)[kind] += 1;
      }
      if (!burst.size) return;
      burstAt ||= performance.now();
      // One that does not end is told all the same.
      if (performance.now() - burstAt < SAY_EVERY_MS) clearTimeout(sayTimer);
      else if (sayTimer) return;
      sayTimer = setTimeout(() => {
        sayTimer = burstAt = 0;
        say([...burst].map(([kb, counts]) => `${kb}: ${changesInWords(counts)}`).join("; "));
        burst = new Map();
      }, SAY_AFTER_MS);
    },
    /** The state of the live connection. @param {any} live */
    follow(live) {
      live.state.subscribe((/** @type {string} */ now) => {
        state = now;
        everLive ||= now === "live";
        since = now === "live" ? null : (live.lostSince ?? since ?? new Date());
        refused = now === "refused" ? inWords({ status: live.reason === "token" ? 401 : 403 }) : "";
        if (now === "live") checkIndexing();
        show();
      });
    },
    /** No connection yet: the state could not be loaded. @param {any} fault */
    fault(fault) {
      refused = fault?.status === 401 || fault?.status === 403 ? inWords(fault) : "";
      state = "reconnecting";
      show();
    },
  };
}
