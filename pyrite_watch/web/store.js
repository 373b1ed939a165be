// @ts-check
// The page's replica: the state at a position, then the events after it, keyed by KB *and* id.
// An event says which entry changed; what the change was is fetched, a few by themselves, many as the
// KB's whole state. Events are applied in slices, told once a frame, in a storm twice a second, and
// held back while paused.
import { ask, entryPath, get, part } from "./api.js";

const SLICE_MS = 8;
const MAX_SINGLES = 30; // more titles of one KB than this come as its state: one request instead
const QUIET_MS = 250; // so long after the last event: a burst is asked for once
const RELOAD_EVERY_MS = 5_000; // in one that does not end: it all has to be written, read, and thrown away
const RETRY_MS = 5_000;
const HIDDEN_FLUSH_MS = 1_000; // a hidden tab gets no frames
const IDLE_MS = 50; // after so long a pause an event is applied at once, not with the next frame
const STORM_EVENTS = 100; // in one second: nobody reads along, and drawing takes the cores from who writes
const STORM_FLUSH_MS = 500;
const MAX_HELD = 20_000;

/** @typedef {{kb_name: string, id: string, path: string, title: string, entry_type: string, tags: string[], updated_at: string}} Entry */
/** @typedef {{kb?: string, id?: string, tell: (kbs: Set<string>, keys: Set<string>) => void}} Observer */

/** Every key, for little: a KB may have thousands. @type {any} */
const ANY = { has: () => true };

/** @param {string} kb @param {string} id */
export const keyOf = (kb, id) => `${kb}\n${id}`;

/** Let the browser paint and answer in between: `scheduler.yield` comes before the next frame. A hidden tab draws none, and its timers are slow. */
const breathe = () => document.hidden || new Promise((done) => setTimeout(done));

export class Store {
  /** @type {Map<string, any>} As of `/api/kbs`, in its order. */
  kbs = new Map();
  /** @type {Map<string, Map<string, Entry>>} */
  entries = new Map();
  /** @type {any[] | undefined} Not known yet. */
  problems;
  /** @type {string | null} */
  position = null;
  loaded = false;
  paused = false;
  lostCount = false; // more was held than is worth merging: resume by loading
  /** @type {(batch: [any, any][]) => void} */
  onBatch = () => {};
  /** @type {(held: number) => void} */
  onHeld = () => {};

  /** @type {[any, any][]} */ #queue = [];
  /** @type {Set<string>} */ #held = new Set();
  /** @type {Set<Observer>} */ #observers = new Set();
  /** @type {Map<string, Map<string, number>>} KB → id → offset of the event that asks for it. */ #wanted = new Map();
  /** @type {Map<string, {epoch: string, offset: number}>} What is known of a KB is at least as new as this. */ #knownAt = new Map();
  /** @type {Map<string, any[]>} Events that came while the KB's state was loaded. */ #meanwhile = new Map();
  /** @type {Map<string, number>} KB → since when something is wanted, or its state came. */ #wantedSince = new Map();
  /** @type {Promise<void>} */ #loads = Promise.resolve();
  /** @type {string | undefined} The KBs whose state was loaded. */ #names;
  #scheduled = false;
  #flushedAt = 0;
  #count = 0; // how many events were told in the second before #flushedAt, about
  #fetching = false;
  #retryTimer = 0;
  #kbsTimer = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => this.flush());
  }

  /** Be told which KBs' lists and which entries changed, at most once a frame, in a storm rarer. @param {Observer} observer */
  observe(observer) {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** @param {Set<string>} kbs @param {Set<string>} keys */
  #tell(kbs, keys) {
    for (const { kb, id, tell } of [...this.#observers]) {
      if (id === undefined ? kb === undefined || kbs.has(kb) : keys.has(keyOf(kb ?? "", id))) tell(kbs, keys);
    }
  }

  /** @param {string} kb */
  of(kb) {
    let known = this.entries.get(kb);
    if (!known) this.entries.set(kb, (known = new Map()));
    return known;
  }

  /** How many entries a KB has. @param {string} kb */
  size(kb) {
    return this.loaded ? this.of(kb).size : (this.kbs.get(kb)?.entries ?? 0);
  }

  // ---- loading

  /** Load everything; what is shown stays until the new state is there. */
  async load() {
    await Promise.all([this.loadKbs(), this.#loadState()]);
    this.#fetch(); // what came meanwhile
  }

  async loadKbs() {
    const [kbs, problems] = await Promise.all([get("api/kbs"), get("api/problems")]);
    if (!kbs.ok) throw kbs;
    this.kbs = new Map(kbs.body.kbs.map((/** @type {any} */ kb) => [kb.name, kb]));
    if (problems.ok) this.problems = problems.body.problems;
    else this.loadKbsSoon(RETRY_MS);
    this.#tell(new Set(this.kbs.keys()), new Set());
    const names = [...this.kbs.keys()].join("\n");
    this.#names ??= names;
    if (names === this.#names || this.paused) return;
    await this.#loadState(); // no event tells of a KB's entries that it is served again, or no more
    this.#names = names;
  }

  /** The KBs' counts and problems soon, once however often it is asked. */
  loadKbsSoon(delay_ms = 150) {
    this.#kbsTimer ||= setTimeout(() => {
      this.#kbsTimer = 0;
      this.loadKbs().catch(() => this.loadKbsSoon(RETRY_MS));
    }, delay_ms);
  }

  /** One at a time: two would not know of each other what came meanwhile. @param {string} [kb] Only this one. */
  #loadState(kb) {
    const load = this.#loads.then(() => this.#loadStateNow(kb));
    this.#loads = load.catch(() => {});
    return load;
  }

  /** @param {string} [kb] */
  async #loadStateNow(kb) {
    const asked = kb === undefined ? [...new Set([...this.kbs.keys(), ...this.entries.keys()])] : [kb];
    for (const name of asked) this.#meanwhile.set(name, []);
    try {
      const response = await ask(`api/state${kb === undefined ? "" : `?kb=${part(kb)}`}`, { signal: AbortSignal.timeout(120_000) });
      if (response.status === 404 && kb !== undefined) return void this.#wanted.delete(kb); // it is not served any more
      if (!response.ok || !response.body) throw response;
      /** @type {Map<string, Map<string, Entry>>} */
      const fresh = new Map();
      /** @type {any} */
      let position = null;
      let shown = 0;
      for await (const lines of slicesOf(response.body)) {
        for (const line of lines) {
          if (!position) position = line;
          else {
            let known = fresh.get(line.kb_name);
            if (!known) fresh.set(line.kb_name, (known = new Map()));
            known.set(line.id, line);
          }
        }
        if (this.loaded || performance.now() - shown < 100) continue;
        shown = performance.now();
        this.entries = fresh; // the first view fills while it loads
        this.#tell(new Set(fresh.keys()), new Set());
      }
      if (kb === undefined) {
        this.entries = fresh;
        this.loaded = true;
        this.position = `${position.epoch}:${position.offset}`;
      } else if (this.paused) return; // it stays wanted
      else this.entries.set(kb, fresh.get(kb) ?? new Map());
      const names = kb === undefined ? new Set([...this.kbs.keys(), ...asked, ...fresh.keys()]) : new Set(asked);
      for (const name of names) this.#settle(name, position);
      this.#tell(names, ANY);
    } finally {
      for (const name of asked) this.#meanwhile.delete(name);
    }
  }

  /** The state of a KB came: what it knows need not be asked for, what came meanwhile goes on top. @param {string} kb @param {any} position */
  #settle(kb, position) {
    this.#knownAt.set(kb, position);
    const wanted = this.#wanted.get(kb);
    for (const [id, offset] of wanted ?? []) if (offset <= position.offset) wanted?.delete(id);
    const since = this.#meanwhile.get(kb) ?? [];
    this.#meanwhile.delete(kb); // before they are applied: else each would be noted again, for ever
    for (const event of since) this.#apply(event, new Set(), new Set());
    this.#wantedSince.set(kb, performance.now());
  }

  // ---- events

  /** @param {any} event @param {{replayed: boolean}} info */
  receive(event, info) {
    this.#queue.push([event, info]);
    if (!this.paused) return this.#schedule();
    this.#hold(event);
    if (this.#queue.length > MAX_HELD) this.drop();
    this.onHeld(this.held);
  }

  /** @param {any} event */
  #hold({ kb_name, entry_id }) {
    if (entry_id) this.#held.add(keyOf(kb_name, entry_id));
  }

  get held() {
    return this.#held.size;
  }

  pause() {
    this.flush();
    this.paused = true;
    for (const [event] of this.#queue) this.#hold(event); // there was no time for them
  }

  /** What was told is of another past, or too much to merge. */
  drop() {
    this.#queue = [];
    this.lostCount = true;
  }

  resume() {
    this.paused = false;
    this.#held.clear();
    const reload = this.lostCount;
    this.lostCount = false;
    this.#schedule();
    this.#fetch();
    this.loadKbsSoon();
    return reload;
  }

  /** @param {number} now */
  #recent(now) {
    return this.#count * Math.max(0, 1 - (now - this.#flushedAt) / 1_000);
  }

  /** @param {boolean} [isRest] There was no time for them in this frame. */
  #schedule(isRest) {
    if (this.#scheduled || !this.#queue.length) return;
    this.#scheduled = true;
    const now = performance.now();
    if (document.hidden) setTimeout(() => this.flush(), HIDDEN_FLUSH_MS);
    else if (!isRest && this.#recent(now) > STORM_EVENTS) setTimeout(() => this.flush(), STORM_FLUSH_MS);
    else if (now - this.#flushedAt > IDLE_MS) queueMicrotask(() => this.flush());
    else requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.#scheduled = false;
    if (this.paused || !this.#queue.length) return;
    const until = performance.now() + SLICE_MS;
    const kbs = new Set();
    const keys = new Set();
    let done = 0;
    do this.#apply(this.#queue[done++][0], kbs, keys);
    while (done < this.#queue.length && performance.now() < until);
    const batch = this.#queue.splice(0, done);
    this.onBatch(batch);
    this.#tell(kbs, keys);
    const now = performance.now();
    this.#count = this.#recent(now) + done;
    this.#flushedAt = now;
    this.#schedule(true);
    this.#fetch();
  }

  /** @param {any} event @param {Set<string>} kbs @param {Set<string>} keys */
  #apply(event, kbs, keys) {
    const { type, kb_name: kb, entry_id: id, epoch, offset } = event;
    if (type === "kb_synced") return this.#synced(event, kbs);
    this.#meanwhile.get(kb)?.push(event);
    const at = this.#knownAt.get(kb);
    if (at && at.epoch === epoch && offset <= at.offset) return;
    const known = this.of(kb);
    const entry = known.get(id);
    // Else the lists have nothing to show of it yet, which would be thousands of times in a storm.
    if (entry && (type === "entry_deleted" || entry.path !== event.path)) kbs.add(kb);
    if (type === "entry_deleted") {
      known.delete(id);
      this.#wanted.get(kb)?.delete(id);
    } else {
      if (entry) entry.path = event.path;
      let wanted = this.#wanted.get(kb);
      if (!wanted) this.#wanted.set(kb, (wanted = new Map()));
      if (!wanted.size) this.#wantedSince.set(kb, performance.now());
      wanted.set(id, offset);
    }
    keys.add(keyOf(kb, id));
  }

  /** @param {any} event @param {Set<string>} kbs */
  #synced({ kb_name: name, problems, available }, kbs) {
    const kb = this.kbs.get(name);
    if (!kb || problems || kb.problems !== problems || kb.available !== available) this.loadKbsSoon();
    if (!kb) return;
    kb.problems = problems;
    kb.available = available;
    kbs.add(name);
  }

  /** The KB of which the least is wanted: what is edited in one does not wait for the storm in another. */
  #fewest() {
    return [...this.#wanted].filter(([, ids]) => ids.size).sort(([, a], [, b]) => a.size - b.size)[0];
  }

  async #fetch() {
    if (this.#fetching || this.paused) return;
    this.#fetching = true;
    try {
      for (let next; !this.paused && (next = this.#fewest()); ) {
        const [kb, wanted] = next;
        if (wanted.size > MAX_SINGLES) {
          const now = performance.now();
          const quietAt = (this.#queue.length ? now : this.#flushedAt) + QUIET_MS;
          const wait = Math.min(quietAt, (this.#wantedSince.get(kb) ?? 0) + RELOAD_EVERY_MS) - now;
          if (wait > 0) await new Promise((done) => setTimeout(done, wait));
          else await this.#loadState(kb); // meanwhile it may be fewer, or one pauses
        } else {
          const some = [...wanted].slice(0, 6);
          await Promise.all(some.map(([id, offset]) => this.#fetchOne(kb, id, offset)));
          this.#tell(new Set([kb]), new Set(some.map(([id]) => keyOf(kb, id))));
        }
      }
    } catch {
      // What is wanted stays so, and the next event or `ready` asks again. Where only this answer failed, none may come.
      this.#retryTimer ||= setTimeout(() => ((this.#retryTimer = 0), this.retry()), RETRY_MS);
    }
    this.#fetching = false;
  }

  /** Ask again for what a break left out. */
  retry() {
    this.#fetch();
  }

  /** @param {string} kb @param {string} id @param {number} offset */
  async #fetchOne(kb, id, offset) {
    const { ok, status, body } = await get(entryPath(kb, id));
    const wanted = this.#wanted.get(kb);
    if (status === 500) return void wanted?.delete(id); // this one cannot be told: the others can
    if (!ok && status !== 404) throw new Error(`HTTP ${status}`);
    if (this.paused || wanted?.get(id) !== offset) return; // a newer event, a deletion, or the whole state came meanwhile
    wanted.delete(id);
    if (!ok) return void this.of(kb).delete(id);
    const { path, title, entry_type, tags, updated_at } = body;
    this.of(kb).set(id, { kb_name: kb, id, path, title, entry_type, tags, updated_at });
  }
}

/** The parsed lines of an NDJSON stream, in slices that leave the page time to breathe. @param {ReadableStream<Uint8Array>} stream */
async function* slicesOf(stream) {
  const reader = stream.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : /** @type {string} */ (lines.pop());
    let slice = [];
    let until = performance.now() + SLICE_MS;
    for (const line of lines) {
      if (line) slice.push(JSON.parse(line));
      if (performance.now() < until) continue;
      yield slice;
      slice = [];
      await breathe();
      until = performance.now() + SLICE_MS;
    }
    if (slice.length) yield slice;
    if (done) return;
  }
}
