// @ts-check
// Writing drafts. Every open editor writes a key of its own, so two tabs on one entry never overwrite each
// other's text. It holds a Web Lock of that name: whoever lists the drafts sees which of them another tab is
// typing just now.
import { PREFIX, draftsOf, editors, entryOf, unstored } from "./drafts.js";

/** A key that nobody else has. @param {string} kb @param {string | null} id */
export const newKey = (kb, id) => PREFIX + JSON.stringify([kb, id, Math.random().toString(36).slice(2)]);

/** Keep a draft, in place of the one of that key. @param {import("./drafts.js").Draft} draft @returns {boolean} False: in this tab's memory only. */
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

/**
 * Say that this tab is typing that draft, until the function returned is called. Where the browser has no locks
 * nobody hears that: whoever takes the draft away then finds it kept again.
 * @param {string} key @param {() => unknown} keep
 */
export function holdKey(key, keep) {
  /** @type {() => void} */
  let release = () => {};
  const held = new Promise((resolve) => (release = () => resolve(undefined)));
  navigator.locks?.request(key, () => held).catch(() => {});
  const taken = (/** @type {StorageEvent} */ event) => event.key === key && !event.newValue && keep();
  addEventListener("storage", taken);
  return () => (removeEventListener("storage", taken), release());
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

/** An entry has another address: so have its drafts, but those that an editor holds, which follows by itself. @param {any} event */
export async function moveDrafts({ kb_name, entry_id, moved_to }) {
  const held = await heldKeys();
  for (const draft of draftsOf(kb_name, entry_id).filter(({ key }) => !held.has(key))) {
    const { kb_name: kb, entry_id: id } = moved_to;
    // Under the same mark: two tabs that move it make one of it.
    const key = PREFIX + JSON.stringify([kb, id, /** @type {any} */ (entryOf(draft.key))?.[2]]);
    if (keepDraft({ ...draft, kb, id, key })) dropDraft(draft.key);
    else unstored.delete(draft.key);
  }
}
