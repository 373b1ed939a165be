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

/** All drafts of an entry (`id` null: of new entries), the newest first. @param {string} kb @param {string | null} id @returns {Draft[]} */
export function draftsOf(kb, id) {
  const found = new Map();
  try {
    for (let at = 0; at < localStorage.length; at++) {
      const key = localStorage.key(at) ?? "";
      const entry = entryOf(key);
      if (entry && entry[0] === kb && entry[1] === id) found.set(key, read(key, localStorage.getItem(key)));
    }
  } catch {
    // Denied: then only this tab's memory has any.
  }
  for (const draft of unstored.values()) if (draft.kb === kb && draft.id === id) found.set(draft.key, draft);
  return [...found.values()].filter(Boolean).sort((a, b) => b.at - a.at);
}

/** True while text is unsaved in this tab, or kept nowhere but in its memory: then no reload. */
export const anyDraftOpen = () => unstored.size > 0 || [...editors].some((isDirty) => isDirty());

addEventListener("beforeunload", (event) => {
  // What is in storage comes back by itself: asked is only where closing would lose text.
  if (unstored.size) event.preventDefault();
});
