// @ts-check
// The text of an entry as blocks, for the first time it is shown; `marks.js` changes it after that.
import { fragmentOf } from "./html.js";

const LONG = 400; // blocks: from here on what is off the screen is not laid out

/** @param {string} html As `/render` made it. */
export function blocksOf(html) {
  const fresh = fragmentOf(html);
  for (const box of fresh.querySelectorAll("pre, table")) box.setAttribute("tabindex", "0"); // what scrolls can be reached
  return fresh;
}

/** @param {HTMLElement} body */
export const noteLength = (body) => void body.classList.toggle("long", body.children.length > LONG);

/** Show a text in place of whatever is there. @param {HTMLElement} body @param {string} html */
export function showBlocks(body, html) {
  body.replaceChildren(blocksOf(html));
  noteLength(body);
}
