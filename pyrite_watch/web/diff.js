// @ts-check
// The difference of two texts, by lines or by words. Pure: strings in, segments out, no DOM.
//
// Myers' O(ND) algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986), greedy form, between
// anchors as in Bram Cohen's patience diff: tokens that stand exactly once in either text.
// The work is bounded: a gap between two anchors with more than MAX_EDITS differences, and all gaps once
// MAX_WORK steps are spent, become a block that is removed and one that is added. So the result is always
// right, and only its fineness is given up: two texts of 2 MB without a common line cannot freeze the page.

/** @typedef {{kind: "same" | "added" | "removed", text: string}} Segment */

const MAX_EDITS = 400; // the trace of a gap: at most 400² / 2 numbers
const MAX_WORK = 4_000_000; // steps in all: tens of milliseconds
const MAX_WORD_CHARS = 400_000; // in longer texts words are compared as lines: nobody could read them

/**
 * Whole lines, each with its line end. Joined, same and removed give `a`; same and added give `b`.
 * @param {string} a @param {string} b @returns {Segment[]}
 */
export const diffLines = (a, b) => diff(a, b, /[^\n]*\n|[^\n]+/g);

/** As `diffLines`, by words; white space and each other sign are tokens of their own. @param {string} a @param {string} b */
export const diffWords = (a, b) => (a.length + b.length > MAX_WORD_CHARS ? diffLines(a, b) : diff(a, b, /[\p{L}\p{M}\p{N}_]+|\s+|[^]/gu));

/** @param {string} a @param {string} b @param {RegExp} token @returns {Segment[]} */
function diff(a, b, token) {
  const before = a.match(token) ?? [];
  const after = b.match(token) ?? [];
  /** @type {Map<string, number>} */
  const numbers = new Map();
  const numbered = (/** @type {string[]} */ tokens) =>
    Int32Array.from(tokens, (text) => {
      let number = numbers.get(text);
      if (number === undefined) numbers.set(text, (number = numbers.size));
      return number;
    });
  const [x, y] = [numbered(before), numbered(after)];

  /** @type {Segment[]} */
  const segments = [];
  let [i, j] = [0, 0];
  /** @param {Segment["kind"]} kind @param {string[]} tokens */
  const put = (kind, tokens) => tokens.length && segments.push({ kind, text: tokens.join("") });
  const ends = [...matches(x, y, numbers.size), [x.length, y.length, 0]];
  for (let at = 0; at < ends.length; at++) {
    let [toX, toY, length] = ends[at];
    while (at + 1 < ends.length && length && ends[at + 1][0] === toX + length && ends[at + 1][1] === toY + length) length += ends[++at][2];
    put("removed", before.slice(i, toX));
    put("added", after.slice(j, toY));
    put("same", before.slice(toX, toX + length));
    [i, j] = [toX + length, toY + length];
  }
  return segments;
}

/** Runs that both have, as [place in x, place in y, length], upwards. @param {Int32Array} x @param {Int32Array} y @param {number} kinds */
function matches(x, y, kinds) {
  /** @type {number[][]} */
  const found = [];
  const budget = { left: MAX_WORK };
  let start = 0;
  while (start < x.length && start < y.length && x[start] === y[start]) start++;
  let end = 0;
  const most = Math.min(x.length, y.length) - start;
  while (end < most && x[x.length - 1 - end] === y[y.length - 1 - end]) end++;
  if (start) found.push([0, 0, start]);

  let [i, j] = [start, start];
  for (const [toX, toY] of [...anchors(x, y, start, end, kinds), [x.length - end, y.length - end]]) {
    gap(x, y, i, toX, j, toY, budget, found);
    if (toX < x.length - end) found.push([toX, toY, 1]);
    [i, j] = [toX + 1, toY + 1];
  }
  if (end) found.push([x.length - end, y.length - end, end]);
  return found;
}

/** Tokens that stand once in either text: their longest sequence that rises in both. @param {Int32Array} x @param {Int32Array} y @param {number} start @param {number} end @param {number} kinds */
function anchors(x, y, start, end, kinds) {
  const MANY = -2;
  const places = [x, y].map((tokens) => {
    const place = new Int32Array(kinds).fill(-1);
    for (let at = start; at < tokens.length - end; at++) place[tokens[at]] = place[tokens[at]] === -1 ? at : MANY;
    return place;
  });
  // Patience: piles with rising tops; each card remembers the top of the pile on its left.
  /** @type {{i: number, j: number, left: any}[]} */
  const tops = [];
  for (let i = start; i < x.length - end; i++) {
    const j = places[1][x[i]];
    if (places[0][x[i]] !== i || j < 0) continue;
    let [low, high] = [0, tops.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle].j < j) low = middle + 1;
      else high = middle;
    }
    tops[low] = { i, j, left: tops[low - 1] };
  }
  const line = [];
  for (let card = tops.at(-1); card; card = card.left) line.push([card.i, card.j]);
  return line.reverse();
}

/** Myers between two anchors; finds nothing where it would take too long. @param {Int32Array} x @param {Int32Array} y @param {number} i @param {number} toX @param {number} j @param {number} toY @param {{left: number}} budget @param {number[][]} found */
function gap(x, y, i, toX, j, toY, budget, found) {
  const [n, m] = [toX - i, toY - j];
  if (n <= 0 || m <= 0) return;
  const limit = Math.min(n + m, MAX_EDITS);
  const reach = new Int32Array(2 * limit + 3); // the furthest x on each diagonal, shifted by `limit + 1`
  const trace = [];
  const mid = limit + 1;
  for (let edits = 0; edits <= limit; edits++) {
    trace.push(reach.slice(mid - edits - 1, mid + edits + 2));
    for (let k = -edits; k <= edits; k += 2) {
      let u = k === -edits || (k !== edits && reach[mid + k - 1] < reach[mid + k + 1]) ? reach[mid + k + 1] : reach[mid + k - 1] + 1;
      const from = u;
      while (u < n && u - k < m && x[i + u] === y[j + u - k]) u++;
      reach[mid + k] = u;
      budget.left -= 1 + u - from;
      if (u >= n && u - k >= m) return void found.push(...walked(trace, n, m, i, j));
    }
    if (budget.left < 0) return;
  }
}

/** The way back through the trace: the runs of one gap. @param {Int32Array[]} trace @param {number} u @param {number} v @param {number} i @param {number} j */
function walked(trace, u, v, i, j) {
  const runs = [];
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const reach = trace[edits]; // of the step before, where diagonal k is at `edits + 1 + k`
    const k = u - v;
    const at = edits + 1 + k;
    const down = k === -edits || (k !== edits && reach[at - 1] < reach[at + 1]);
    const from = edits ? (down ? reach[at + 1] : reach[at - 1] + 1) : 0;
    if (u > from) runs.push([i + from, j + from - k, u - from]);
    [u, v] = down ? [from, from - k - 1] : [from - 1, from - k];
  }
  return runs.reverse();
}
