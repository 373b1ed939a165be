// @ts-check
// The entries of a KB. Only the rows near the screen exist, so that ten thousand scroll as smoothly as ten;
// what one reads stays in place while others come and go above it.
import { viewPath } from "../api.js";
import { openNewEntry } from "../later.js";
import { make, moveBefore, refill, setText } from "../html.js";
import { plural, count, shortTime } from "../words.js";

const SPARE = 12; // rows beyond each edge of the screen
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
/** Equal ones have one order, whichever came first: else rows would move that nobody changed. @param {any} a @param {any} b */
const byId = (a, b) => (a.id < b.id ? -1 : 1);
const ORDERS = /** @type {Record<string, (a: any, b: any) => number>} */ ({
  time: (a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : byId(a, b)),
  title: (a, b) => collator.compare(a.title, b.title) || byId(a, b),
});

/** @param {any} ctx @param {HTMLElement} main @param {{kb: string}} params */
export function openEntries(ctx, main, { kb }) {
  const { store } = ctx;
  const total = make("span.quiet.numbers");
  const problems = make("a.bad", { href: `problems?kb=${encodeURIComponent(kb)}`, hidden: true });
  const filter = make("input", { type: "search", placeholder: "Filter by title, tag, type or path", "aria-label": "Filter", autocomplete: "off" });
  const order = make("select", { "aria-label": "Sort" }, make("option", { value: "time" }, "Newest first"), make("option", { value: "title" }, "By title"));
  const create = make("button", { type: "button", onclick: () => openNewEntry(ctx, { kb }) }, "New entry");
  const state = make("p.empty", {}, "Loading…");
  const list = make("ul.window", { role: "list", "aria-label": `Entries of ${kb}` });
  main.append(
    make("p.crumbs", {}, make("a", { href: "./" }, "Knowledge bases")),
    make("div.view-head", {}, make("h1", { tabIndex: -1 }, make("bdi", {}, kb)), total, problems, make("div.tools", {}, create)),
    make("div.filters", {}, filter, order),
    state, list,
  );
  const kept = ctx.kept[`entries ${kb}`] ?? {}; // filter and order, when one comes back
  filter.value = kept.filter ?? "";
  order.value = kept.order ?? "time";

  /** @type {any[]} */ let sorted = [];
  /** @type {any} */ let sortedBy = null;
  /** @type {any[]} */ let shown = [];
  /** @type {Map<string, {row: any, entry: string, place: number}>} */
  const rows = new Map();
  let height = 3.75 * parseFloat(getComputedStyle(document.documentElement).fontSize); // as style.css has it
  let stale = true; // the order must be made again
  let held = ""; // the entry whose row stays in place

  function arrange() {
    const known = store.of(kb);
    const compare = ORDERS[order.value];
    // Those that are as they were are in order; the others are sorted by themselves, and merged into them.
    const kept = sortedBy === compare ? sorted.filter((entry) => known.get(entry.id) === entry) : [];
    const same = new Set(kept);
    const others = [...known.values()].filter((entry) => !same.has(entry)).sort(compare);
    sorted = [];
    let at = 0;
    for (const other of others) {
      while (at < kept.length && compare(kept[at], other) <= 0) sorted.push(kept[at++]);
      sorted.push(other);
    }
    sorted.push(...kept.slice(at));
    sortedBy = compare;
    /** @type {string[]} */
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = !words.length ? sorted : sorted.filter(({ title, id, path, entry_type, tags }) => {
      const text = `${title} ${id} ${path} ${entry_type} ${(tags ?? []).join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    stale = false;
  }

  /** @param {any} entry */
  const fill = (entry) => [
    make("div.row-line", {}, make("a", { href: viewPath(kb, entry.id), title: entry.title }, make("bdi", {}, entry.title || entry.id)), make("time.meta", { dateTime: entry.updated_at }, shortTime(entry.updated_at))),
    make("div.meta", {}, [entry.entry_type, ...(entry.tags ?? [])].join(" · "), "  ", make("bdi.path", {}, entry.path)),
  ];

  function draw() {
    if (!list.isConnected) return;
    const top = -list.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(top / height) - SPARE);
    const to = Math.min(shown.length, Math.ceil((top + innerHeight) / height) + SPARE);
    const near = new Set();
    for (let place = from; place < to; place++) {
      const entry = shown[place];
      near.add(entry.id);
      let known = rows.get(entry.id);
      if (!known) {
        known = { row: make("li", { dataset: { kb, id: entry.id } }), entry: "", place: -1 };
        rows.set(entry.id, known);
      }
      const now = String(Object.values(entry)); // a state that was loaded again has others that say the same
      if (known.entry !== now) refill(known.row, ...fill(entry));
      known.entry = now;
      if (known.place !== place || known.row.ariaSetSize !== String(shown.length)) {
        known.row.style.transform = `translateY(${place * height}px)`;
        known.row.ariaPosInSet = String(place + 1);
        known.row.ariaSetSize = String(shown.length);
      }
      known.place = place;
    }
    let lost = -2;
    for (const [id, known] of rows) {
      if (near.has(id)) continue;
      if (known.row.contains(document.activeElement)) {
        // Whoever has the focus keeps it, wherever the entry is now; where it is gone, the next one has it.
        const place = shown.findIndex((entry) => entry.id === id);
        if (place >= 0) {
          if (known.place !== place) known.row.style.transform = `translateY(${place * height}px)`;
          known.place = place;
          continue;
        }
        lost = Math.min(known.place, shown.length - 1);
      }
      known.row.remove();
      rows.delete(id);
    }
    // In the order of the page, for the Tab key; rows that are in order already are not moved.
    let next = null;
    for (const { row } of [...rows.values()].sort((a, b) => b.place - a.place)) {
      if (row.nextSibling !== next || !row.isConnected) moveBefore(list, row, next);
      next = row;
    }
    if (lost > -2) (rows.get(shown[lost]?.id)?.row.querySelector("a") ?? main.querySelector("h1")).focus({ preventScroll: true });
  }

  function show() {
    const isHere = store.kbs.has(kb) || store.of(kb).size;
    const top = -list.getBoundingClientRect().top;
    const at = Math.ceil(top / height);
    const seen = top > 0 ? shown.slice(at, at + innerHeight / height) : [];
    const from = Math.max(0, seen.findIndex(({ id }) => id === held));
    // The first that has not changed: one that has may go anywhere. While it is seen it is the same one, or of
    // rows that change one after the other each would pull what is read towards the one above.
    const first = [...seen.slice(from), ...seen].find(({ id, updated_at, title }) => {
      const now = store.of(kb).get(id);
      return now?.updated_at === updated_at && now?.title === title;
    });
    held = first?.id;
    const before = shown.indexOf(first);
    if (stale) arrange();
    list.style.height = `${shown.length * height}px`;
    if (first) {
      // What is read at the top of the screen stays there.
      const place = shown.findIndex(({ id }) => id === first.id);
      if (place >= 0 && place !== before) scrollBy({ top: (place - before) * height, behavior: "instant" });
    }
    const meta = store.kbs.get(kb);
    setText(total, !isHere ? "" : filter.value ? `${count(shown.length)} of ${plural(store.size(kb))}` : plural(store.size(kb)));
    problems.hidden = !meta?.problems;
    setText(problems, plural(meta?.problems ?? 0, "problem", "problems"));
    create.hidden = !isHere || Boolean(meta?.read_only);
    state.hidden = shown.length > 0;
    setText(state, !store.loaded ? "Loading…" : !isHere ? `There is no knowledge base “${kb}” here.` : filter.value ? "No entry matches this filter." : meta?.available === false ? "This knowledge base is not available now." : "No entries yet. Put a Markdown file into its folder, or make a new entry.");
    draw();
  }

  let drawing = 0;
  /** @param {boolean} [again] */
  function later(again = false) {
    stale ||= again;
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      show();
    });
  }
  const scrolled = () => {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      stale ? show() : draw();
    });
  };
  function asked() {
    ctx.kept[`entries ${kb}`] = { filter: filter.value, order: order.value };
    stale = true;
    if (scrollY > list.offsetTop) scrollTo(0, Math.max(0, list.offsetTop - 120));
    show();
  }
  filter.addEventListener("input", asked);
  order.addEventListener("change", asked);
  addEventListener("scroll", scrolled, { passive: true });
  const resized = () => {
    const row = list.firstElementChild;
    if (row) height = row.offsetHeight || height;
    for (const known of rows.values()) known.place = -1;
    later();
  };
  addEventListener("resize", resized);
  const stop = store.observe({ tell: (/** @type {Set<string>} */ kbs) => (kbs.has(kb) || !shown.length) && later(true) });
  show();
  resized();
  let current = -1;
  return {
    title: kb,
    onEvent() {},
    /** The rows that are not near the screen do not exist: the next one is found by its place. @param {number} step */
    move(step) {
      const focused = document.activeElement?.closest?.("[data-id]");
      const known = focused instanceof HTMLElement && rows.get(focused.dataset.id ?? "");
      current = Math.max(0, Math.min(shown.length - 1, (known ? known.place : current) + step));
      if (!shown[current]) return;
      const top = list.getBoundingClientRect().top + current * height;
      if (top < 60 || top + height > innerHeight - 20) scrollBy({ top: top - innerHeight / 2, behavior: "instant" });
      draw();
      rows.get(shown[current].id)?.row.querySelector("a").focus({ preventScroll: true });
    },
    close() {
      stop();
      cancelAnimationFrame(drawing);
      removeEventListener("scroll", scrolled);
      removeEventListener("resize", resized);
    },
  };
}
