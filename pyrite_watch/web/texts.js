// @ts-check
// What a text area does to a text, and how to undo it. Pure.

import { diffLines } from "./diff.js";

/** As a text area holds it. @param {string} raw */
export const asTyped = (raw) => raw.replace(/\r\n?/g, "\n");

/**
 * Give a typed text the line ends of the one that it began as: a text area knows only `\n`, and a save must
 * change no more than what was typed. Lines at either end that stayed keep theirs; new ones get `\n`, which
 * the server writes as most of the file's lines end.
 * @param {string} raw @param {string} typed
 */
export function withLineEnds(raw, typed) {
  if (!raw.includes("\r")) return typed;
  const before = raw.split(/(\r\n?|\n)/); // line, end, line, end, …, line
  const after = typed.split("\n");
  const [n, m] = [(before.length + 1) / 2, after.length];
  const most = Math.min(n, m);
  let start = 0;
  while (start < most - 1 && before[2 * start] === after[start]) start++;
  let end = 0;
  while (end < most - start && before[2 * (n - 1 - end)] === after[m - 1 - end]) end++;
  const endOf = (/** @type {number} */ at) => (at < start ? before[2 * at + 1] : at >= m - end ? before[2 * (n - m + at) + 1] : "\n");
  return after.map((line, at) => (at === m - 1 ? line : line + endOf(at))).join("");
}

/** Where a place in one text is in the other: it stays with its line, and behind what changed in that. @param {string} from @param {string} to @param {number} place */
export function movedPlace(from, to, place) {
  let [before, after] = [0, 0];
  const segments = diffLines(from, to);
  for (const [at, { kind, text }] of segments.entries()) {
    if (kind === "added") after += text.length;
    else if (place >= before + text.length) {
      before += text.length;
      if (kind === "same") after += text.length;
    } else if (kind === "same") return after + place - before;
    else return after + within(text, segments[at + 1]?.kind === "added" ? segments[at + 1].text : "", place - before);
  }
  return to.length;
}

/** The same in a text that changed in one place. @param {string} from @param {string} to @param {number} place */
function within(from, to, place) {
  const most = Math.min(from.length, to.length);
  let start = 0;
  while (start < most && from[start] === to[start]) start++;
  if (place <= start) return place;
  let end = 0;
  while (end < most - start && from[from.length - 1 - end] === to[to.length - 1 - end]) end++;
  return place >= from.length - end ? place + to.length - from.length : Math.min(place, to.length - end);
}

/** Equal but for white space around the body, which reading a file takes away. @param {{title: string, body: string}} a @param {{title: string, body: string}} b */
export const sameText = (a, b) => a.title === b.title && a.body.trim() === b.body.trim();
