// @ts-check
// The knowledge bases, and what happened last.
import { viewPath } from "../api.js";
import { drafted } from "../drafts.js";
import { openNewEntry } from "../later.js";
import { make, refill } from "../html.js";
import { plural } from "../words.js";

/** @param {any} ctx @param {HTMLElement} main */
export function openHome(ctx, main) {
  const { store, activity } = ctx;
  const kbs = make("ul.rows", { role: "list" });
  const empty = make("p.empty", {}, "Loading…");
  const quiet = make("p.empty", {}, "Nothing has changed yet. Edit a file, and it shows here.");
  const create = make("button", { type: "button", onclick: () => openNewEntry(ctx, { kb: [...store.kbs.values()].find((kb) => !kb.read_only)?.name ?? "" }) }, "New entry");
  const drafts = make("p.notice", { hidden: true });
  main.append(
    make("div.view-head", {}, make("h1", { tabIndex: -1 }, "Knowledge bases"), make("div.tools", {}, create)),
    drafts, make("div.filters"), empty, kbs,
    make("h2", {}, "Activity"), quiet, activity.list,
  );
  let lostShown = "";
  /** @type {Map<string, {row: any, shown: string}>} */
  const rows = new Map();

  /** @param {any} kb @param {number} size */
  function fill(kb, size) {
    const problems = Array.isArray(kb.problems) ? kb.problems.length : Number(kb.problems ?? 0);
    return [
      make("div.row-line", {},
        make("a.name", { href: viewPath(kb.name) }, make("bdi", {}, kb.name)),
        make("span.numbers", {}, plural(size))),
      kb.description && make("p", {}, kb.description),
      kb.available === false && make("p.bad", {}, "Not available now. Its entries stay readable."),
      problems > 0 && make("p", {}, make("a.bad", { href: `problems?kb=${encodeURIComponent(kb.name)}` }, plural(problems, "problem", "problems"))),
    ].filter(Boolean);
  }

  function show() {
    for (const [name, { row }] of rows) if (!store.kbs.has(name)) (row.remove(), rows.delete(name));
    let at = 0;
    for (const kb of store.kbs.values()) {
      const size = store.size(kb.name);
      const shown = JSON.stringify([size, kb.description, kb.problems, kb.available]);
      let known = rows.get(kb.name);
      if (!known) rows.set(kb.name, (known = { row: make("li", { dataset: { kb: kb.name } }), shown: "" }));
      if (known.shown !== shown) refill(known.row, ...fill(kb, size));
      known.shown = shown;
      if (kbs.children[at] !== known.row) kbs.insertBefore(known.row, kbs.children[at] ?? null);
      at += 1;
    }
    empty.hidden = store.kbs.size > 0;
    if (store.loaded) empty.textContent = "No knowledge base is watched. Start the server with the folder of one: pyrite watch FOLDER";
    create.hidden = ![...store.kbs.values()].some((kb) => !kb.read_only);
    // Text of an entry that is not here any more is found nowhere else.
    const lost = store.loaded ? drafted().filter(([kb, id]) => id !== null && !store.of(kb).has(id)) : [];
    const names = JSON.stringify(lost);
    if (names !== lostShown) refill(drafts, "Unsaved drafts of entries that are gone: ", ...lost.flatMap(([kb, id], at) => [at ? ", " : "", make("a", { href: viewPath(kb, /** @type {string} */ (id)) }, make("bdi", {}, `${kb} / ${id}`))]));
    lostShown = names;
    drafts.hidden = !lost.length;
    quiet.hidden = activity.list.children.length > 0;
  }
  const stop = store.observe({ tell: show });
  ctx.onActivity = show;
  show();
  return {
    title: "",
    onEvent() {},
    list: main,
    close() {
      stop();
      ctx.onActivity = null;
    },
  };
}
