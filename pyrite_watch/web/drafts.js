// @ts-check
// Drafts: what is typed and not yet on the server's disk. Kept in local storage, which outlives a crash of
// the tab, and in this tab's memory, where storage is full or denied.
// Here is what there is; `draft-keys.js` writes them.

/** @typedef {{kb: string, id: string | null, title: string | null, body: string | null, revision: string | null, at: number, key: string, type?: string, into?: string}} Draft `title` and `body` are null where they were not changed; `id` is null for a new entry. */

export const PREFIX = `pyrite-draft ${new URL(document.baseURI).pathname} `;
/** @type {Map<string, Draft>} What storage did not take. */
export const unstored = new Map();
/** @type {Set<() => boolean>} */
export const editors = new Set();

/** @param {string} key @returns {[string, string | null] | null} */
export function entryOf(key) {
  try {
    return key.startsWith(PREFIX) ? JSON.parse(key.slice(PREFIX.length)) : null;
  } catch {
    return null;
  }
}

/** @param {string} key @param {string | null} text @returns {Draft | null} */
function read(key, text) {
  const entry = entryOf(key);
  try {
    return entry && text ? { ...JSON.parse(text), kb: entry[0], id: entry[1], key } : null;
  } catch {
    return null; // not ours
  }
}

/** The keys of all drafts, wherever they are kept. */
function draftKeys() {
  const keys = new Set(unstored.keys());
  try {
    for (const key of Object.keys(localStorage)) keys.add(key);
  } catch {
    // Denied: then only this tab's memory has any.
  }
  return [...keys].filter(entryOf);
}

/** The entries that have a draft; `id` is null for new ones. @returns {[string, string | null][]} */
export function drafted() {
  const names = draftKeys().map((key) => JSON.stringify(entryOf(key)?.slice(0, 2)));
  return [...new Set(names)].map((name) => JSON.parse(name));
}

/** All drafts of an entry (`id` null: of new entries), the newest first. @param {string} kb @param {string | null} id @returns {Draft[]} */
export function draftsOf(kb, id) {
  const isOf = (/** @type {[string, string | null] | null} */ entry) => entry?.[0] === kb && entry[1] === id;
  const found = draftKeys().filter((key) => isOf(entryOf(key))).map((key) => unstored.get(key) ?? read(key, localStorage.getItem(key)));
  return found.filter((draft) => draft !== null).sort((a, b) => b.at - a.at);
}

/** True while text is unsaved in this tab, or kept nowhere but in its memory: then no reload. */
export const anyDraftOpen = () => unstored.size > 0 || [...editors].some((isDirty) => isDirty());

addEventListener("beforeunload", (event) => {
  // What is in storage comes back by itself: asked is only where closing would lose text.
  if (unstored.size) event.preventDefault();
});
