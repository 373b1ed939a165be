// @ts-check
// The files that are not, or not fully, entries, and why.
import { viewPath } from "../api.js";
import { make, refill } from "../html.js";
import { problemText, timeOf } from "../words.js";

/** @param {any} ctx @param {HTMLElement} main @param {{kb?: string}} params */
export function openProblems(ctx, main, { kb }) {
  const { store } = ctx;
  const list = make("ul.rows", { role: "list" });
  const state = make("p.empty", {}, "Loading…");
  const title = kb ? `Problems of ${kb}` : "Problems";
  main.append(
    make("p.crumbs", {}, make("a", { href: "./" }, "Knowledge bases"), kb && " / ", kb && make("a", { href: viewPath(kb) }, make("bdi", {}, kb))),
    make("h1", { tabIndex: -1 }, title), state, list,
  );
  let before = "";
  function show() {
    const found = (store.problems ?? []).filter((/** @type {any} */ { kb_name }) => !kb || kb_name === kb);
    state.hidden = found.length > 0;
    if (store.problems) state.textContent = "No problems: every file could be read as an entry.";
    const now = JSON.stringify([found, store.loaded]);
    if (now === before) return;
    before = now;
    refill(list, ...found.map((/** @type {any} */ problem) => {
      const entry = [...store.of(problem.kb_name).values()].find(({ path }) => path === problem.path);
      return make(
        "li", { dataset: { kb: problem.kb_name } },
        make("div.row-line", {}, make("span.path", {}, make("bdi", {}, `${problem.kb_name}/${problem.path}`)), make("span.meta", {}, "since ", timeOf(problem.since))),
        make("p", { dir: "auto" }, problemText(problem)),
        entry && make("p.small", {}, "The last good version stays readable: ", make("a", { href: viewPath(entry.kb_name, entry.id) }, entry.title)),
      );
    }));
  }
  const stop = store.observe({ tell: show });
  show();
  return { title, onEvent() {}, close: () => void stop() };
}
