// @ts-check
// Short messages at the edge: at most three, gone by themselves unless somebody is at them, or they tell of a
// fault. They take no focus, and are said by the page's one status region (the caller's work), not here.

import { make } from "./html.js";

const MOST = 3;
const SHOWN_MS = 6_000;
const SHOWN_WITH_ACTION_MS = 12_000;

/** @typedef {{kind?: "info" | "good" | "warn" | "error", action?: {label: string, run: () => void}}} Options */

/** @param {HTMLElement} region */
export function makeToasts(region) {
  /** @type {{node: HTMLElement, left: number, isError: boolean}[]} */
  const shown = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  let last = 0;
  let timer = 0;

  /** @param {HTMLElement} node */
  function remove(node) {
    const at = shown.findIndex((toast) => toast.node === node);
    if (at < 0) return;
    shown.splice(at, 1);
    node.remove();
    waiting.shift()?.();
  }

  function tick() {
    const now = performance.now();
    // Whoever reads or is about to press must not be outrun.
    const held = document.hidden || region.matches(":hover, :focus-within");
    for (const toast of [...shown]) {
      if (!held && !toast.isError) toast.left -= now - last;
      if (toast.left <= 0) remove(toast.node);
    }
    last = now;
    if (!shown.length) {
      clearInterval(timer);
      timer = 0;
    }
  }

  /** @param {string} text @param {Options} [options] @returns {{close: () => void}} */
  function show(text, { kind = "info", action } = {}) {
    const close = () => remove(node);
    const node = make(
      "div.toast",
      { dataset: { kind } },
      make("p", {}, text),
      action && make("button", { type: "button", onclick: () => (close(), action.run()) }, action.label),
      make("button.close", { type: "button", "aria-label": "Close message", onclick: close }, "×"),
    );
    const add = () => {
      shown.push({ node, left: action ? SHOWN_WITH_ACTION_MS : SHOWN_MS, isError: kind === "error" });
      region.append(node);
      if (!timer) {
        last = performance.now();
        timer = setInterval(tick, 250);
      }
    };
    // The oldest makes room, unless somebody is at it; faults stay until they are closed. Behind three such, one waits.
    const old = shown.find(({ isError, node: its }) => !isError && !its.contains(document.activeElement));
    if (shown.length >= MOST && !old) waiting.push(add);
    else {
      if (shown.length >= MOST && old) (shown.splice(shown.indexOf(old), 1), old.node.remove());
      add();
    }
    return { close: () => (waiting.includes(add) ? void waiting.splice(waiting.indexOf(add), 1) : close()) };
  }

  return { show };
}
