// @ts-check
// What the search found, with the words marked. It follows the entries: hits come and go with them.
import { get, inWords, part, viewPath } from "../api.js";
import { byId, fragmentOf, make, setText } from "../html.js";
import { plural } from "../words.js";

const AGAIN_MS = 800;
const LIMIT = 100;

/** @param {any} ctx @param {HTMLElement} main @param {{q: string}} params */
export function openSearch(ctx, main, { q }) {
  const state = make("p.quiet.numbers", {}, q ? "Searching…" : "Type what you look for.");
  const list = make("ul.rows", { role: "list" });
  main.append(make("div.view-head", {}, make("h1", { tabIndex: -1 }, q ? `Search: ${q}` : "Search")), state, list);
  byId("search").q.value = q;
  let timer = 0;
  let before = "";
  let turn = 0;
  let failed = false;

  async function run() {
    clearTimeout(timer);
    timer = 0;
    const mine = ++turn;
    if (!q.trim()) return;
    let answer;
    try {
      answer = await get(`api/search?q=${part(q)}&limit=${LIMIT}`);
    } catch (error) {
      answer = error;
    }
    if (mine !== turn) return; // a later one was quicker
    failed = !(/** @type {any} */ (answer)?.ok);
    if (failed) return setText(state, inWords(answer));
    const { results } = /** @type {any} */ (answer).body;
    const words = results.length >= LIMIT ? `The first ${LIMIT} entries` : plural(results.length);
    setText(state, results.length ? words : `No entry holds “${q}”.`);
    const now = JSON.stringify(results);
    if (now === before) return; // nothing moves under the reader for nothing
    before = now;
    const focused = /** @type {any} */ (document.activeElement)?.closest?.("[data-id]")?.dataset;
    list.replaceChildren(...results.map((/** @type {any} */ hit) => make(
      "li", { dataset: { kb: hit.kb_name, id: hit.id } },
      make("div.row-line", {}, make("a.name", { href: viewPath(hit.kb_name, hit.id) }, make("bdi", {}, hit.title)), make("span.meta", {}, make("bdi", {}, hit.kb_name), ` · ${hit.entry_type}`)),
      hit.snippet && make("p", { dir: "auto" }, fragmentOf(hit.snippet)),
    )));
    if (!focused) return;
    const hit = [...list.children].find(({ dataset }) => dataset.kb === focused.kb && dataset.id === focused.id);
    (hit ?? main).querySelector("a, h1")?.focus({ preventScroll: true });
  }
  const ready = run();
  return {
    title: q ? `Search: ${q}` : "Search",
    ready,
    /** @param {any} event */
    onEvent({ entry_id }) {
      if (entry_id) timer ||= setTimeout(run, AGAIN_MS);
    },
    reload: run,
    retry: () => failed && run(),
    close() {
      turn++;
      clearTimeout(timer);
      byId("search").q.value = "";
    },
  };
}
