// @ts-check
// The bar that says that the file on disk is another than the text being typed, and the difference of both.
// It only shows and asks; what the answers do is the editor's.

import { diffLines, diffWords } from "./diff.js";
import { make, setText } from "./html.js";

/** @typedef {{title: string, body: string}} Text */

/** @param {number} then */
export function ago(then) {
  const seconds = Math.max(0, Math.round((Date.now() - then) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `on ${new Date(then).toLocaleString()}`;
}

/**
 * @param {{keep: () => void, load: () => void, leave: () => void, texts: () => {mine: Text, disk: Text | null}}} actions
 */
export function makeConflict({ keep, load, leave, texts }) {
  const words = make("span");
  const panel = make("div.compare", { id: "compare", hidden: true, tabIndex: 0, role: "group", "aria-label": "Comparison" });
  const compare = make("button", { type: "button", "aria-expanded": "false", "aria-controls": "compare", onclick: toggle }, "Compare");
  const loads = make("button", { type: "button", onclick: load }, "Load from disk");
  const node = make(
    "section.conflict",
    { "aria-label": "Conflict", hidden: true },
    make("p", {}, words, " ", make("button", { type: "button", onclick: keep }, "Keep mine"), loads, compare),
    panel,
  );
  let since = 0;
  let isGone = false;
  let timer = 0;

  const tell = () => setText(words, `${isGone ? "Deleted" : "Changed"} on disk ${ago(since)}.`);

  function toggle() {
    panel.hidden = !panel.hidden;
    compare.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) refresh();
  }

  function refresh() {
    if (panel.hidden) return;
    const { mine, disk } = texts();
    if (disk) panel.replaceChildren(...difference(disk, mine));
  }

  /** Hide these, with what is compared; a focus in there goes on in the text. @param {...HTMLElement} parts */
  function hide(...parts) {
    const had = [...parts, panel].some((part) => part.contains(document.activeElement));
    for (const part of [...parts, panel]) part.hidden = true;
    compare.setAttribute("aria-expanded", "false");
    if (had) leave();
  }

  return {
    node,
    get isOpen() {
      return !node.hidden;
    },
    refresh,
    /** @param {number} then @param {boolean} [gone] */
    show(then, gone = false) {
      [since, isGone] = [then, gone];
      loads.hidden = compare.hidden = false;
      if (gone) hide(loads, compare);
      tell();
      clearInterval(timer);
      timer = setInterval(tell, 1000);
      node.hidden = false;
      refresh();
    },
    hide() {
      clearInterval(timer);
      hide(node);
    },
  };
}

/** Line by line, and within changed lines word by word: what the disk has is removed, what is mine added. @param {Text} disk @param {Text} mine */
function difference(disk, mine) {
  const whole = (/** @type {Text} */ { title, body }) => `${title}\n\n${body.trim()}\n`;
  const left = make("div", { role: "group", "aria-label": "On disk" }, make("h2", {}, "On disk"));
  const right = make("div", { role: "group", "aria-label": "Mine" }, make("h2", {}, "Mine"));
  const segments = diffLines(whole(disk), whole(mine));
  segments.forEach(({ kind, text }, at) => {
    if (kind === "same") {
      left.append(make("pre", { dir: "auto" }, text));
      right.append(make("pre", { dir: "auto" }, text));
      return;
    }
    const pair = kind === "removed" && segments[at + 1]?.kind === "added" ? segments[at + 1] : null;
    if (pair) {
      const parts = diffWords(text, pair.text);
      left.append(marked("del", parts, "added"));
      right.append(marked("ins", parts, "removed"));
    } else if (kind === "removed") left.append(marked("del", [{ kind, text }], "added"));
    else if (segments[at - 1]?.kind !== "removed") right.append(marked("ins", [{ kind, text }], "removed"));
  });
  return [left, right];
}

/** @param {"del" | "ins"} tag @param {import("./diff.js").Segment[]} parts @param {string} leftOut */
const marked = (tag, parts, leftOut) =>
  make(
    "pre.changed",
    { dir: "auto" },
    ...parts.filter(({ kind }) => kind !== leftOut).map(({ kind, text }) => (kind === "same" ? text : make(tag, {}, text))),
  );
