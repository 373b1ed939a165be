// @ts-check
// The text of the open entry, changed in place: blocks that stayed are not touched, so that scroll, focus,
// selection and open <details> stay. A block that changed is morphed; it gets a mark that fades and a bar at
// the side. The bars lie in a layer of their own: what the server made stays as it made it.
import { blocksOf, noteLength } from "./blocks.js";
import { diffWords } from "./diff.js";
import { make, moveBefore } from "./html.js";
import { Idiomorph } from "./vendor/idiomorph.js";

const MAX_BARS = 200;
const FADE_MS = 2_500;

/** Keep the selection in a text whose middle changes. @param {Node} old @param {Node} fresh */
function keepText(old, fresh) {
  if (old.nodeType !== 3 || fresh.nodeType !== 3 || old.nodeValue === fresh.nodeValue) return;
  const [a, b] = [old.nodeValue ?? "", fresh.nodeValue ?? ""];
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  /** @type {Text} */ (old).replaceData(start, a.length - start - end, b.slice(start, b.length - end));
}

/** @param {Element} old @param {Element} fresh */
const morph = (old, fresh) => Idiomorph.morph(old, fresh, {
  morphStyle: "outerHTML",
  callbacks: {
    beforeNodeMorphed: keepText,
    beforeAttributeUpdated: (/** @type {string} */ name, /** @type {Element} */ node) => !(name === "open" && node.tagName === "DETAILS"),
  },
});

/** The first of these that reaches below the top of the screen. @param {Element[]} blocks in the order of the page */
function firstSeen(blocks) {
  let [low, high] = [0, blocks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (blocks[middle].getBoundingClientRect().bottom > 0) high = middle;
    else low = middle + 1;
  }
  return blocks[low];
}

/**
 * @param {HTMLElement} body Its children are the blocks. @param {HTMLElement} article
 */
export function makeMarks(body, article) {
  const gutter = make("div.gutter");
  const popover = make("div.difference", { popover: "auto", tabIndex: 0, role: "dialog", "aria-label": "What changed" });
  article.append(gutter, popover);
  /** @type {any} The bar whose difference is shown. */
  let opener = null;
  // Told while it happens: one that is closed by a click on another bar is told before that one opens.
  popover.addEventListener("beforetoggle", (/** @type {any} */ { newState }) => opener.setAttribute("aria-expanded", String(newState === "open")));
  let at = -1;
  /** @type {Map<Element, {before: string, gone: boolean, bar: any}>} */
  const marks = new Map();

  function place() {
    for (const [block, mark] of marks) if (!block.isConnected) (mark.bar.remove(), marks.delete(block));
    const origin = article.getBoundingClientRect().top;
    const boxes = [...marks.keys()].map((block) => block.getBoundingClientRect());
    [...marks.values()].forEach(({ bar, gone }, index) => {
      bar.hidden = !boxes[index].height; // a heading that is the title is not shown
      bar.style.top = `${boxes[index].top - origin}px`;
      bar.style.height = gone ? "1rem" : `${boxes[index].height}px`;
    });
  }
  const sizes = new ResizeObserver(() => marks.size && place());
  sizes.observe(body);

  /** @param {Element} block */
  function showDifference(block) {
    const mark = marks.get(block);
    if (!mark) return;
    const wasIts = mark.bar.ariaExpanded === "true";
    if (opener?.ariaExpanded === "true") popover.hidePopover();
    if (wasIts) return;
    opener = mark.bar;
    const after = mark.gone ? "" : (block.textContent ?? "");
    popover.replaceChildren(...diffWords(mark.before, after).map(({ kind, text }) => (kind === "same" ? text : make(kind === "added" ? "ins" : "del", {}, text))));
    popover.showPopover();
    const box = mark.bar.getBoundingClientRect();
    const room = innerHeight - popover.offsetHeight - 8;
    popover.style.left = `${scrollX + Math.max(8, Math.min(box.right + 8, innerWidth - popover.offsetWidth - 8))}px`;
    popover.style.top = `${scrollY + Math.max(8, Math.min(box.top, room))}px`;
    popover.focus({ preventScroll: true }); // else it is not read; Escape gives it back to the bar
  }

  /** @param {Element} block @param {string} before @param {boolean} gone */
  function mark(block, before, gone) {
    let known = marks.get(block);
    // Something above it was removed, and it is another itself: one mark tells both, whichever came first.
    if (known?.gone) before = `${known.before}\n${before}`;
    if (known?.gone && !gone) {
      known.bar.remove();
      marks.delete(block);
      known = undefined;
    }
    if (known) {
      if (gone) known.before = known.gone ? before : `${before}\n${known.before}`;
    } else if (marks.size < MAX_BARS) {
      const bar = make(`button${gone ? ".gone" : ""}`, { type: "button", title: gone ? "Something was removed here" : "This changed: show how", "aria-label": gone ? "Show what was removed" : "Show what changed", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => showDifference(block) });
      marks.set(block, { before, gone, bar });
      gutter.append(bar);
    }
    if (!gone && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      block.animate([{ backgroundColor: "var(--mark)" }, { backgroundColor: "transparent" }], { duration: FADE_MS, easing: "ease-out" });
    }
  }

  /** Make the body what `fresh` is. @param {DocumentFragment} fresh @param {boolean} silent */
  function reconcile(fresh, silent) {
    const old = new Map([...body.children].map((block) => [block.id, block]));
    const blocks = [...fresh.children];
    const coming = new Set(blocks.map(({ id }) => id));
    /** @type {[Element, string, boolean][]} */
    const changes = [];
    /** @type {Element[]} */
    let spare = []; // blocks that left, before the place that is looked at
    let cursor = body.firstElementChild;
    /** @param {Element | null} next */
    const dropSpare = (next) => {
      const text = spare.map((block) => block.textContent ?? "").join("\n").trim();
      for (const block of spare) block.remove();
      spare = [];
      const beside = next ?? body.lastElementChild;
      if (text && beside) changes.push([beside, text, true]);
    };
    for (const block of blocks) {
      while (cursor && !coming.has(cursor.id)) {
        spare.push(cursor);
        cursor = cursor.nextElementSibling;
      }
      const kept = old.get(block.id);
      if (kept) {
        dropSpare(kept);
        if (kept === cursor) cursor = cursor.nextElementSibling;
        else moveBefore(body, kept, cursor);
        if (!kept.isEqualNode(block)) {
          const before = kept.textContent ?? "";
          morph(kept, block); // a link's target came or went; a part whose id is no hash of it, as the footnotes
          if (kept.textContent !== before) changes.push([kept, before, false]);
        }
        continue;
      }
      const match = spare.findIndex(({ tagName }) => tagName === block.tagName);
      if (match < 0) {
        body.insertBefore(block, spare[0] ?? cursor);
        changes.push([block, "", false]);
      } else {
        const [same] = spare.splice(match, 1);
        const before = same.textContent ?? "";
        same.id = block.id; // a block of another id would be replaced, not morphed
        morph(same, block);
        changes.push([same, before, false]);
      }
    }
    for (; cursor; cursor = cursor.nextElementSibling) spare.push(cursor);
    dropSpare(null);
    noteLength(body);
    if (silent) return;
    // The newest are shown: in a tab that is open for days, the oldest make room.
    for (const [block, { bar }] of marks) {
      if (marks.size + changes.length <= MAX_BARS) break;
      bar.remove();
      marks.delete(block);
    }
    for (const [block, before, gone] of changes) if (!gone || !changes.some(([other, , its]) => other === block && !its)) mark(block, before, gone);
  }

  const marking = {
    /**
     * Run a change of the article; where the reader has scrolled, what is read stays where it is.
     * @param {() => void} change
     */
    anchored(change) {
      const root = document.documentElement;
      const blocks = [...body.children];
      const seen = scrollY > 0 ? blocks.indexOf(/** @type {any} */ (firstSeen(blocks))) : -1;
      const near = seen < 0 ? [] : blocks.slice(seen, seen + 40).map((block) => /** @type {[Element, number]} */ ([block, block.getBoundingClientRect().top]));
      // Ours is exact, also where the first block that is seen is the one that changes.
      if (near.length) root.style.overflowAnchor = "none";
      change();
      const anchor = near.find(([block]) => block.isConnected);
      if (anchor) {
        const moved = anchor[0].getBoundingClientRect().top - anchor[1];
        if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: "instant" });
      }
      if (near.length) requestAnimationFrame(() => root.style.removeProperty("overflow-anchor"));
    },
    /** @param {string} next As `/render` made it. @param {{silent?: boolean}} [options] */
    update(next, { silent = false } = {}) {
      const fresh = blocksOf(next);
      const hadFocus = gutter.contains(document.activeElement);
      marking.anchored(() => reconcile(fresh, silent));
      place();
      // The bar may be gone with its block.
      if (hadFocus && !gutter.contains(document.activeElement)) /** @type {any} */ (gutter.querySelector("button:not([hidden])"))?.focus({ preventScroll: true });
    },
    next() {
      const all = [...marks].filter(([block, { bar }]) => block.isConnected && !bar.hidden);
      if (!all.length) return false;
      all.sort(([a], [b]) => (a.compareDocumentPosition(b) & 4 ? -1 : 1));
      at = (at + 1) % all.length;
      all[at][0].scrollIntoView({ block: "center" });
      all[at][1].bar.focus({ preventScroll: true });
      return true;
    },
    close() {
      sizes.disconnect();
    },
  };
  return marking;
}
