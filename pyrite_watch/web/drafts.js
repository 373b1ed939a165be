// @ts-check
// Drafts: what is typed and not yet on the server's disk. Kept in local storage, which outlives a crash of
// the tab, and in this tab's memory, where storage is full or denied.
//
// Every open editor writes a key of its own, so two tabs on one entry never overwrite each other's text. It
// holds a Web Lock of that name: whoever lists the drafts sees which of them another tab is typing just now.

/** @typedef {{kb: string, id: string | null, title: string | null, body: string | null, revision: string | null, at: number, key: string, type?: string, into?: string}} Draft `title` and `body` are null where they were not changed; `id` is null for a new entry. */

const PREFIX = `pyrite-draft ${new URL(document.baseURI).pathname} `;
/** @type {Map<string, Draft>} What storage did not take. */
const unstored = new Map();
/** @type {Set<() => boolean>} */
const editors = new Set();

/** A key that nobody else has. @param {string} kb @param {string | null} id */
export const newKey = (kb, id) => PREFIX + JSON.stringify([kb, id, Math.random().toString(36).slice(2)]);

/** @param {string} key @returns {[string, string | null] | null} */
function entryOf(key) {
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

/** The newest draft of an entry. @param {string} kb @param {string | null} id */
export const draftOf = (kb, id) => draftsOf(kb, id)[0] ?? null;

/** Keep a draft, in place of the one of that key. @param {Draft} draft @returns {boolean} False: in this tab's memory only. */
export function keepDraft(draft) {
  try {
    const { title, body, revision, at, type, into } = draft;
    localStorage.setItem(draft.key, JSON.stringify({ title, body, revision, at, type, into }));
    unstored.delete(draft.key);
    return true;
  } catch {
    unstored.set(draft.key, draft);
    return false;
  }
}

/** @param {string} key */
export function dropDraft(key) {
  unstored.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Denied: nothing was stored either.
  }
}

/** Register an editor: whether it holds unsaved text. @param {() => boolean} isDirty @returns {() => void} */
export function addEditor(isDirty) {
  editors.add(isDirty);
  return () => void editors.delete(isDirty);
}

/** True while text is unsaved in this tab, or kept nowhere but in its memory: then no reload. */
export const anyDraftOpen = () => unstored.size > 0 || [...editors].some((isDirty) => isDirty());

/** Say that this tab is typing that draft, until the function returned is called. @param {string} key */
export function holdKey(key) {
  /** @type {() => void} */
  let release = () => {};
  const held = new Promise((resolve) => (release = () => resolve(undefined)));
  navigator.locks?.request(key, () => held).catch(() => {});
  return release;
}

/** The keys that open editors hold, in any tab; none where the browser has no locks. @returns {Promise<Set<string>>} */
export async function heldKeys() {
  const { held = [] } = (await navigator.locks?.query().catch(() => ({ held: [] }))) ?? {};
  return new Set(held.map(({ name }) => name ?? ""));
}

/** Hear of other tabs' drafts of the same entry as they are typed. @param {() => [string, string | null]} entry @param {(key: string) => void} listener */
export function onOtherTab(entry, listener) {
  const heard = (/** @type {StorageEvent} */ { key, newValue }) => {
    const found = key && newValue ? entryOf(key) : null;
    if (found && entry()[1] !== null && found[0] === entry()[0] && found[1] === entry()[1]) listener(/** @type {string} */ (key));
  };
  addEventListener("storage", heard);
  return () => removeEventListener("storage", heard);
}

addEventListener("beforeunload", (event) => {
  // What is in storage comes back by itself: asked is only where closing would lose text.
  if (unstored.size) event.preventDefault();
});
