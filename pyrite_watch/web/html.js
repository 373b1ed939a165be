// @ts-check
// The one place where HTML from the server becomes nodes. It was sanitised there; what comes from files
// by any other way (names, ids, titles) is set as text.

/** @type {{createHTML(html: string): any}} */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("pyrite", {
  createHTML: (/** @type {string} */ html) => html,
}) ?? { createHTML: (/** @type {string} */ html) => html };

/** Nodes of what `/render` or a search snippet said. @param {string} html @returns {DocumentFragment} */
export function fragmentOf(html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  return template.content;
}

/**
 * Make an element: `make("a.id", {href, dataset: {kb}}, "text", node, …)`. Properties are set as such,
 * names with a dash as attributes; what is null or false is left out.
 * @param {string} tag With classes after dots.
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "dataset") Object.assign(made.dataset, value);
    else if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else /** @type {any} */ (made)[key] = value;
  }
  for (const child of children) if (child || child === "") made.append(/** @type {any} */ (child));
  return made;
}

/** Set a text only where it differs: an equal one must not be announced or painted again. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Give a node new children; a link that has the focus hands it to the one that leads to the same place. @param {any} node @param {...any} children */
export function refill(node, ...children) {
  const focused = node.contains(document.activeElement) && document.activeElement?.getAttribute("href");
  node.replaceChildren(...children);
  if (focused) node.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * Put a node before another (at the end: null). One that has the focus keeps it, where the browser can.
 * @param {any} parent @param {any} node @param {Node | null} next
 */
export function moveBefore(parent, node, next) {
  const focused = node.contains(document.activeElement) && document.activeElement;
  if (node.isConnected && parent.moveBefore) parent.moveBefore(node, next);
  else parent.insertBefore(node, next);
  if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
}
