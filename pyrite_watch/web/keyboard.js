// @ts-check
// Keys of the page: single letters, never while somebody types, never with Ctrl, Alt or Cmd, which are the
// browser's and the system's.

/** What a key does, and how the help tells it. */
export const KEYS = /** @type {const} */ ([
  ["/", "search", "Search"],
  ["j", "next", "Next entry in the list"],
  ["k", "previous", "Previous entry in the list"],
  ["e", "edit", "Edit this entry"],
  ["n", "nextChange", "Next changed place"],
  ["p", "pause", "Pause or resume updates"],
  ["?", "help", "These keys"],
  ["Escape", "close", "Close what is open"],
]);

const REPEATABLE = new Set(["next", "previous", "nextChange"]);

/** @param {EventTarget | null | undefined} target */
const isField = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select, [role=textbox]"));

/**
 * @param {any} _ctx @param {Record<string, (() => void) | undefined>} actions Named as in `KEYS`; what is missing does nothing.
 * @returns {() => void} Takes the keys away again.
 */
export function bindKeys(_ctx, actions) {
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = KEYS.find(([key]) => key === event.key)?.[1];
    const action = name && actions[name];
    // An open dialog has its own keys: Escape closes it by itself.
    if (!action || isField(event.composedPath()[0]) || document.querySelector("dialog[open]")) return;
    if (event.repeat && !REPEATABLE.has(name)) return;
    event.preventDefault(); // else "/" would also be typed into the field that it opens
    action();
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}
