// @ts-check
// The last 200 events, newest first. A storm is folded into one line a KB; what a resume replays, into one group.
import { viewPath } from "./api.js";
import { make } from "./html.js";
import { changesInWords, lateness, plural, timeOf } from "./words.js";

const MAX_ROWS = 200;
const STORM_EVENTS = 50; // more than this in one run are summed up
const STORM_MIN_OF_KB = 5; // a KB with so few of a storm's events keeps them as rows
const RUN_IDLE_MS = 1_000;
const RUN_MS = 5_000; // so that an editor that saves each second never looks like a storm
const STORM_MS = 60_000; // a flood without end gets a line a minute

/** @typedef {{updated: number, created: number, deleted: number}} Counts */
/** @typedef {{events: number, rows: HTMLElement[], line: any, settled: Counts, open: Counts, event: any}} Part */

const KINDS = /** @type {Record<string, keyof Counts>} */ ({ entry_updated: "updated", entry_created: "created", entry_deleted: "deleted" });
const KEYS = /** @type {(keyof Counts)[]} */ (["updated", "created", "deleted"]);
/** @returns {Counts} */
const none = () => ({ updated: 0, created: 0, deleted: 0 });
/** @param {Counts} counts */
const sum = ({ updated, created, deleted }) => updated + created + deleted;

/** @param {import("./store.js").Store} store @param {() => void} onChange */
export function makeActivity(store, onChange) {
  /** @type {HTMLElement} Kept while other views are open. */
  const list = make("ol.rows", { id: "activity", role: "list", tabIndex: -1 });
  /** @type {{first: number, last: number, events: number, storm: boolean, parts: Map<string, Part>} | null} */
  let run = null;
  /** @type {Map<string, any>} What was replayed since the connection broke, the newest of each entry. */
  let away = new Map();

  /** @param {any} event */
  function where({ kb_name: kb, entry_id: id, type, path, previous_path, moved_from, moved_to, ...synced }) {
    const place = make("span.where", {}, make("bdi.quiet", {}, kb));
    if (type === "kb_synced") {
      const words = [changesInWords({ updated: synced.updated, created: synced.added, deleted: synced.removed }) || "no change"];
      if (synced.problems) words.push(plural(synced.problems, "problem", "problems"));
      if (synced.available === false) words.push("unavailable");
      place.append(`: ${words.join(" · ")}`);
      return place;
    }
    const title = store.of(kb).get(id)?.title ?? id;
    place.append(" / ", type === "entry_deleted" ? make("bdi", {}, title) : make("a.name", { href: viewPath(kb, id) }, title));
    const other = moved_from ?? moved_to;
    const moved = other ? `${moved_from ? "from" : "to"} ${other.kb_name === kb ? "" : `${other.kb_name} / `}${other.entry_id}` : "";
    place.append(" ", make("bdi.path", {}, moved || (previous_path ? `${previous_path} → ${path}` : path)));
    return place;
  }

  /** @param {any} event @param {number} late_ms */
  function rowOf(event, late_ms) {
    const { type, kb_name, entry_id, origin } = event;
    const moved = event.moved_to || event.moved_from || event.previous_path;
    const what = type === "kb_synced" ? "synced" : moved ? "moved" : KINDS[type];
    return make(
      "li.fresh",
      { dataset: entry_id ? { kb: kb_name, id: entry_id } : { kb: kb_name } },
      timeOf(event.ts),
      make(`span.${KINDS[type] ?? "quiet"}`, {}, what === "updated" ? "changed" : what),
      where(event),
      make("span.origin", { title: "Origin, and how late it came" }, [origin, lateness(late_ms)].filter(Boolean).join(" · ")),
    );
  }

  /** @param {Part} part @param {string} kb */
  function fill({ line, settled, open, event }, kb) {
    const total = none();
    for (const kind of KEYS) total[kind] = settled[kind] + open[kind];
    line.replaceChildren(timeOf(event.ts), make("span", {}, "bulk"), make("span.where", {}, make("b", {}, make("bdi", {}, kb), `: ${changesInWords(total)}`)), make("span.origin", {}, event.origin));
  }

  /** @param {[any, any][]} batch @param {boolean} old From the log: it did not come just now. */
  function add(batch, old = false) {
    /** @type {{event: any, part: Part, its: any, late_ms: number}[]} */
    const told = [];
    for (const [event, info] of batch) {
      const kind = KINDS[event.type];
      if (info?.replayed) {
        if (kind) away.set(`${event.kb_name}\n${event.entry_id}`, event);
        continue;
      }
      const at = Date.parse(event.ts) || Date.now();
      if (!run || at - run.last > RUN_IDLE_MS || at - run.first > (run.storm ? STORM_MS : RUN_MS)) {
        run = { first: at, last: at, events: 0, storm: false, parts: new Map() };
      }
      run.last = at;
      let part = run.parts.get(event.kb_name);
      if (!part) run.parts.set(event.kb_name, (part = { events: 0, rows: [], line: null, settled: none(), open: none(), event }));
      part.event = event;
      if (kind) {
        run.events += 1;
        part.events += 1;
        part.open[kind] += 1;
      } else {
        // The pass's own counts are the better ones, unless more came than it tells of.
        const its = { updated: event.updated ?? 0, created: event.added ?? 0, deleted: event.removed ?? 0 };
        const better = sum(its) >= sum(part.open) ? its : part.open;
        for (const one of KEYS) part.settled[one] += better[one];
        part.open = none();
      }
      run.storm ||= run.events > STORM_EVENTS;
      told.push({ event, part, its: run, late_ms: old ? 0 : Date.now() - at });
    }
    /** @type {HTMLElement[]} */
    const fresh = [];
    const folds = new Map([...(run?.storm ? run.parts : [])].map(([kb, part]) => [part, kb]));
    for (const { event, part, its, late_ms } of told) {
      if (its.storm && part.events > STORM_MIN_OF_KB) {
        folds.set(part, event.kb_name);
        if (!part.line) fresh.push((part.line = make("li.storm", { dataset: { kb: event.kb_name } })));
      } else {
        const row = rowOf(event, late_ms);
        row.classList.toggle("fresh", !old);
        part.rows.push(row);
        fresh.push(row);
      }
    }
    for (const [part, kb] of folds) {
      if (part.events <= STORM_MIN_OF_KB) continue;
      part.rows.splice(0).forEach(drop);
      if (!part.line) fresh.push((part.line = make("li.storm", { dataset: { kb } })));
      fill(part, kb);
    }
    put(fresh);
  }

  /** Whoever is at it stays in the list. @param {Element} row */
  function drop(row) {
    if (row.contains(document.activeElement)) list.focus({ preventScroll: true });
    row.remove();
  }

  /** @param {HTMLElement[]} rows The newest last. */
  function put(rows) {
    if (!rows.length) return;
    list.prepend(...rows.slice(-MAX_ROWS).reverse());
    while (list.children.length > MAX_ROWS) drop(list.children[MAX_ROWS]);
    onChange();
  }

  /** @param {string} text */
  function note(text) {
    put([make("li", {}, timeOf(), make("span.quiet", {}, "note"), make("span.where", {}, text), make("span.origin"))]);
  }

  return {
    list,
    add,
    note,
    /** The replay is through: what it told, in one sentence; "" where it told nothing. @param {boolean} compacted */
    back(compacted) {
      const events = [...away.values()];
      away = new Map();
      if (!events.length) return "";
      const text = `While you were away: ${plural(events.length)} changed`;
      const rows = events.slice(-MAX_ROWS).reverse().map((event) => {
        const row = make("li", { dataset: { kb: event.kb_name, id: event.entry_id } }, make(`span.${KINDS[event.type]}`, {}, KINDS[event.type] === "updated" ? "changed" : KINDS[event.type]), " ", where(event));
        return row;
      });
      const more = events.length > MAX_ROWS ? `The newest ${MAX_ROWS} are listed.` : "";
      const superseded = compacted ? "Changes that were superseded meanwhile are not listed." : "";
      put([make("li.away", {}, make("details", { open: events.length <= 20 }, make("summary", {}, text), make("ul", { role: "list" }, ...rows), make("p.small", {}, `${more} ${superseded}`.trim())))]);
      return text;
    },
  };
}
