// @ts-check
// The editor of an entry. Its promise: text that was typed is never lost, whatever happens to the file, the
// server or this tab. So:
// - every text is also a draft (draft-keys.js), and a draft goes only when a save was answered with a revision,
//   or by a discard in so many words;
// - a save names the revision that it began from, so nothing on disk is overwritten unseen;
// - what the disk has in place of it comes in by itself only while nothing was typed; else conflict.js asks.

import { entryPath, get, inWords, Offline, part, send } from "./api.js";
import { ago, makeConflict } from "./conflict.js";
import { addEditor, dropDraft, heldKeys, holdKey, keepDraft, newKey, onOtherTab } from "./draft-keys.js";
import { draftsOf } from "./drafts.js";
import { fragmentOf, make, setText } from "./html.js";
import { asTyped, movedPlace, sameText, withLineEnds } from "./texts.js";

const KEEP_MS = 200; // at most this much typing is lost in a crash
const PREVIEW_MS = 300;
const SAVE_MS = 30_000; // whatever a server that hangs has done by then: the next look tells

/**
 * What the text began as. `title` or `body` is null where it is not known: then it counts as changed.
 * @typedef {{revision: string | null, title: string | null, body: string | null, epoch: string, offset: number, entry: any}} Base
 */

/** @param {string | null} position */
const parsed = (position) => ({ epoch: position?.split(":")[0] ?? "", offset: Number(position?.split(":")[1] ?? -1) });

/**
 * @param {any} ctx @param {HTMLElement} host @param {{kb: string, id: string, article?: any}} where
 */
export function openEditor(ctx, host, { kb, id }) {
  /** @type {Base} */
  let base = { revision: null, title: "", body: "", epoch: "", offset: -1, entry: null };
  /** @type {any} The entry as the disk has it now, while that is in conflict. */
  let theirs = null;
  /** @type {any[]} What was told while a save or a load ran. */
  let pending = [];
  let [isLoaded, isClosed, isSaving, isLooking, isGone, isComposing] = [false, false, false, false, false, false];
  let told = ""; // of the conflict that is open
  let keepTimer = 0;
  let previewTimer = 0;
  let key = newKey(kb, id);
  let release = holdKey(key, keep);
  /** @type {string[]} Drafts whose text is here now, and in no storage under another key: gone with the next save. */
  const origins = [];

  const title = make("input", { type: "text", name: "title", autocomplete: "off", readOnly: true, dir: "auto" });
  const area = make("textarea", { name: "body", rows: 16, spellcheck: true, readOnly: true, dir: "auto", "aria-label": "Body" });
  const preview = make("div.preview.rendered", { hidden: true, dir: "auto", role: "group", "aria-label": "Preview" });
  const note = make("span.note");
  const fault = make("p.fault", { hidden: true });
  const offers = make("div.offers");
  const showsPreview = make("button", { type: "button", "aria-pressed": "false", onclick: togglePreview }, "Preview");
  const conflict = makeConflict({
    keep: keepMine,
    load: loadFromDisk,
    leave: toText,
    texts: () => ({ mine: values(), disk: theirs && { title: theirs.title, body: asTyped(theirs.body) } }),
  });
  const form = make(
    "form.editor",
    { "aria-label": "Edit entry" },
    offers,
    conflict.node,
    fault,
    make("label.field", {}, make("span", {}, "Title"), title),
    make("label.field", {}, make("span", {}, "Body"), area),
    preview,
    make(
      "p.actions",
      {},
      make("button.primary", { type: "submit" }, "Save"),
      make("button", { type: "button", onclick: cancel }, "Cancel"),
      showsPreview,
      note,
    ),
  );

  // -- the text ------------------------------------------------------------------------------

  const values = () => ({ title: title.value, body: area.value });

  /** What is pressed may go by that: what is typed next is text, not keys of the page. */
  function toText() {
    area.focus({ preventScroll: true });
  }

  /** What was typed, or null. @returns {{title?: string, body?: string} | null} */
  function changed() {
    if (!isLoaded) return null;
    const now = values();
    if (isGone && !base.entry && !now.title && !now.body) return null; // it was never here, nor was anything typed
    const [newTitle, newBody] = [now.title !== base.title, now.body !== base.body];
    // Where the disk has another text, also one that was typed back to what it began as is somebody's.
    if (isGone || (theirs && !newTitle && !newBody)) return now;
    return newTitle || newBody ? { ...(newTitle && { title: now.title }), ...(newBody && { body: now.body }) } : null;
  }

  /** @param {{title: string, body: string}} text */
  function setValues(text) {
    title.value = text.title;
    const { value, selectionStart, selectionEnd, selectionDirection, scrollTop } = area;
    const next = asTyped(text.body);
    if (value === next) return;
    area.value = next;
    area.setSelectionRange(movedPlace(value, next, selectionStart), movedPlace(value, next, selectionEnd), selectionDirection);
    area.scrollTop = scrollTop;
    refreshPreview();
  }

  /** Take what the disk has as what this text begins from. @param {any} entry @param {string | null} position */
  function setBase(entry, position) {
    // A field of one line drops the line ends of a title.
    base = { revision: entry.revision, title: entry.title.replace(/[\r\n]/g, ""), body: asTyped(entry.body), ...parsed(position), entry };
    [theirs, isGone] = [null, false];
    conflict.hide();
  }

  // -- drafts --------------------------------------------------------------------------------

  /** @param {{title?: string, body?: string}} change @returns {boolean} */
  const store = (change) => keepDraft({ key, kb, id, title: null, body: null, ...change, revision: base.revision, at: Date.now() });

  function keep() {
    clearTimeout(keepTimer);
    keepTimer = 0;
    if (isClosed || !isLoaded) return true;
    const change = changed();
    if (!change) {
      for (const one of [key, ...origins.splice(0)]) dropDraft(one);
      setText(note, "");
      return true;
    }
    const stored = store(change);
    setText(note, stored ? "Draft kept" : "This draft lives only in this tab: the browser's storage is full or denied.");
    return stored;
  }

  const typed = () => {
    keepTimer ||= setTimeout(keep, KEEP_MS);
    refreshPreview();
    conflict.refresh();
  };

  /** The text of that draft is this editor's now. @param {string} old */
  function comesFrom(old) {
    if (keep()) dropDraft(old);
    else origins.push(old);
  }

  /** Go on under another key; what was typed stays behind as a draft. */
  function setAside() {
    const isStored = keep();
    // Where there was no room, they have the only copy that outlives this tab.
    for (const one of origins.splice(0)) if (isStored) dropDraft(one);
    const old = key;
    release();
    key = newKey(kb, id);
    release = holdKey(key, keep);
    return old;
  }

  async function offerDrafts() {
    const held = await heldKeys();
    const drafts = draftsOf(kb, id).filter((draft) => draft.key !== key);
    if (isClosed) return;
    if (drafts.some((draft) => held.has(draft.key))) warnOfOtherTab();
    const draft = drafts.find((one) => !held.has(one.key));
    if (!draft) return;
    const offer = make("p.offer", {}, `There is an unsaved draft from ${ago(draft.at)}. `);
    const answer = (/** @type {() => void} */ run) => () => (offer.remove(), run(), area.focus(), void offerDrafts());
    offer.append(
      make("button", { type: "button", onclick: answer(() => restore(draft)) }, "Restore draft"),
      make("button", { type: "button", onclick: answer(() => dropDraft(draft.key)) }, "Discard draft"),
    );
    offers.append(offer);
    ctx.status?.say?.("There is an unsaved draft of this entry.");
  }

  /** @param {import("./drafts.js").Draft} draft */
  function restore(draft) {
    if (changed()) setAside();
    const { revision } = base;
    if (draft.revision !== revision && !isGone) {
      base = { ...base, revision: draft.revision, ...(draft.title !== null && { title: null }), ...(draft.body !== null && { body: null }) };
    }
    setValues({ title: draft.title ?? title.value, body: draft.body ?? area.value });
    comesFrom(draft.key);
    if (draft.revision !== revision) void look(Date.now());
  }

  function warnOfOtherTab() {
    if (offers.querySelector(".other-tab")) return;
    offers.append(make("p.other-tab", {}, "This entry is being edited in another tab as well. Each tab keeps its own draft."));
    ctx.status?.say?.("This entry is being edited in another tab as well.");
  }

  // -- what is on the disk -------------------------------------------------------------------

  /** An event of this entry. @param {any} event */
  function onEvent(event) {
    if (isClosed) return;
    if (!isLoaded || isSaving) return void pending.push(event);
    // What this text began from, or a state before it: also one's own save, whichever came first.
    if (event.epoch === base.epoch && event.offset <= base.offset) return;
    if (event.type === "kb_synced") return;
    if (event.type === "entry_deleted" && event.moved_to) follow(event.moved_to);
    if (event.revision && event.revision === base.revision && base.body !== null && base.title !== null) {
      base = { ...base, epoch: event.epoch, offset: event.offset, entry: { ...base.entry, path: event.path } };
      [theirs, isGone] = [null, false]; // it was away, and is back
      conflict.hide();
      return;
    }
    const since = Math.min(Date.now(), Date.parse(event.ts) || Date.now());
    if (event.type === "entry_deleted" && !event.moved_to) gone(since);
    else void look(since);
  }

  /** @param {{kb_name: string, entry_id: string}} place */
  function follow(place) {
    const old = key;
    release();
    [kb, id] = [place.kb_name, place.entry_id];
    key = newKey(kb, id);
    release = holdKey(key, keep);
    comesFrom(old);
  }

  /** Compare with the disk; `since` is when it changed. @param {number} since */
  async function look(since) {
    if (isLooking || isSaving) return later(since);
    isLooking = true;
    try {
      const answer = await get(entryPath(kb, id));
      if (isSaving) later(since);
      else if (!isClosed) compare(answer, since);
    } catch {
      // Out of reach: what is typed stays, and `ready` looks again.
    } finally {
      isLooking = false;
      afterwards();
    }
  }

  /** @param {number} since */
  function later(since) {
    if (pending.some(({ type }) => !type)) return; // one look is enough for all that is told until then
    pending.push({ ts: new Date(since).toISOString() });
  }

  function afterwards() {
    if (isSaving || isLooking || isComposing || isClosed) return;
    for (const event of pending.splice(0)) onEvent(event);
  }

  /** @param {import("./api.js").Answer} answer @param {number} since */
  function compare({ status, ok, body: entry, position }, since) {
    const { epoch, offset } = parsed(position);
    if (epoch === base.epoch && offset < base.offset) return; // asked before the last save
    if (status === 404 && entry?.detail?.code === "NOT_FOUND" && !ctx.status?.isIndexing) gone(since);
    if (!ok) return;
    const isKnown = base.title !== null && base.body !== null;
    if (isComposing && entry.revision !== base.revision) later(since);
    else if (entry.revision === base.revision && isKnown) {
      // A title that the heading gives, and white space around the body, read otherwise than they were saved.
      const same = [title.value === base.title, area.value.trim() === base.body?.trim()];
      setBase(entry, position);
      if (same[0]) title.value = base.title ?? "";
      if (same[1]) base.body = area.value;
    } else if (sameText(values(), { title: entry.title, body: asTyped(entry.body) })) {
      setBase(entry, position); // also a save whose answer was lost
      base.body = area.value;
    } else if (!changed()) {
      setBase(entry, position);
      setValues(entry);
    } else {
      const isNews = theirs?.revision !== entry.revision || isGone;
      [theirs, isGone] = [entry, false];
      if (isNews) tell(since);
    }
    keep();
  }

  /** @param {number} since */
  function gone(since) {
    if (!isGone) tell(since, true);
    [theirs, isGone] = [null, true];
    keep();
  }

  /** @param {number} since @param {boolean} [isDeleted] */
  function tell(since, isDeleted = false) {
    const words = isDeleted ? "The file of this entry is gone. Your text is kept." : "The file of this entry is another now. Your text is kept.";
    // Once, however often it changes while the choice stands open.
    if (!conflict.isOpen || words !== told) ctx.status?.say?.(words);
    told = words;
    conflict.show(since, isDeleted);
  }

  async function keepMine() {
    toText();
    if (!isGone && !theirs) await look(Date.now());
    void save(false, true);
  }

  function loadFromDisk() {
    if (!theirs) return;
    const before = { base, theirs, text: values() };
    const aside = setAside();
    setBase(theirs, null);
    setValues(base.entry);
    setText(note, "");
    area.focus();
    const undo = () => {
      if (isClosed) return void ctx.toasts.show("Your text is kept as a draft: Edit offers it.", {});
      if (changed()) setAside();
      ({ base, theirs } = before); // both: what equals the one is text because of the other
      setValues(before.text);
      comesFrom(aside);
      tell(Date.now(), isGone);
      toText();
      void look(Date.now());
    };
    ctx.toasts?.show("Loaded from disk. Your text is kept as a draft.", { action: { label: "Undo", run: undo } });
    void look(Date.now());
  }

  // -- saving --------------------------------------------------------------------------------

  /** @param {boolean} [leaves] Close when everything typed is saved. @param {boolean} [isChosen] Over what the disk has by now. */
  async function save(leaves = false, isChosen = false) {
    if (isSaving || !isLoaded || isClosed) return;
    const change = changed();
    if (!change) return leaves ? leave() : undefined;
    if (change.title?.trim() === "") return void refuse("A title is needed.");
    if (conflict.isOpen && !isChosen) return void refuse(`Not saved yet: “Keep mine” ${isGone ? "creates the entry again" : "saves over what is on disk"}.`);
    isSaving = true;
    form.setAttribute("aria-busy", "true");
    refuse("");
    keep();
    setText(note, "Saving…");
    let timer = 0;
    try {
      const late = new Promise((_, fail) => (timer = setTimeout(fail, SAVE_MS, new Offline("No answer."))));
      const asked = { ...change, ...(change.body !== undefined && { body: withLineEnds((theirs ?? base.entry)?.body ?? "", change.body) }) };
      await answered(await Promise.race([request(asked), late]), change, asked.body);
    } catch (error) {
      if (!(error instanceof Offline)) throw error;
      refuse("Not saved: the server does not answer. Your text is kept; press Save again when it is back.");
    } finally {
      clearTimeout(timer);
      isSaving = false;
      form.removeAttribute("aria-busy");
      afterwards();
    }
    if (leaves && fault.hidden && !changed() && !conflict.isOpen) leave();
  }

  /** @param {{title?: string, body?: string}} asked */
  function request(asked) {
    // Without a revision that is known ("none" is nobody's) nothing may be overwritten.
    if (!isGone) return send("PUT", `api/entries/${part(id)}`, { kb, ...asked }, { ifMatch: theirs?.revision ?? base.revision ?? "none" });
    // Anew, with everything of its front matter that is known here.
    const { entry_type, tags, importance, date, metadata = {} } = base.entry ?? {};
    const { id: _i, title: _t, type: _y, tags: _g, importance: _p, date: _d, ...rest } = metadata;
    return send("POST", "api/entries", { kb, ...asked, id, entry_type, tags, ...(Number.isInteger(importance) && { importance }), ...(date && { date }), metadata: rest });
  }

  /** @param {import("./api.js").Answer} answer @param {{title?: string, body?: string}} change @param {string} [sent] The body as it was sent. */
  async function answered(answer, change, sent) {
    const { ok, status, body, position } = answer;
    const detail = body?.detail;
    if (ok && body?.revision) {
      const under = theirs ?? base.entry ?? {};
      // What was not typed here, and so not sent, may be another on disk by now.
      const untouched = { title: !change.title && title.value === base.title, body: sent === undefined && area.value === base.body };
      const now = { ...under, revision: body.revision, title: change.title ?? under.title ?? "", body: sent ?? under.body ?? "" };
      setBase(now, position);
      base.offset = body.offset; // of this write: others' may lie before the position
      setValues({ title: untouched.title ? now.title : title.value, body: untouched.body ? now.body : area.value });
      if (isClosed) {
        // The reader went on meanwhile, and is not to be brought back.
        const rest = changed();
        if (!rest) for (const one of [key, ...origins]) dropDraft(one);
        // It begins from what was saved: else it would be asked about its own save. It may be another editor's by now.
        else if (draftsOf(kb, id).some((one) => one.key === key)) store(rest);
        return;
      }
      keep();
      if (!changed()) setText(note, "Saved");
      ctx.onSaved?.({ kb, id, revision: body.revision, offset: body.offset });
      return;
    }
    setText(note, "");
    if (detail?.code === "NOT_INDEXED_YET" && detail.revision) {
      refuse(inWords(answer));
    } else if (status === 412 && detail?.revision === (theirs?.revision ?? base.revision)) {
      refuse(`Not saved: ${inWords(answer)} Your text is kept.`); // nobody changed it, but somebody is about to
    } else if (status === 412 || (status === 404 && detail?.code === "NOT_FOUND") || (status === 409 && isGone)) {
      isSaving = false;
      await look(Date.now());
      // Something else may be in its place: then there is nothing to choose.
      if ((!conflict.isOpen || (isGone && status === 409)) && changed()) refuse(`Not saved: ${inWords(answer)} Your text is kept.`);
    } else {
      const faults = status === 422 && Array.isArray(detail) ? detail.map(({ msg }) => msg).join("; ") : inWords(answer);
      refuse(`Not saved: ${faults} Your text is kept.`);
    }
  }

  /** @param {string} words */
  function refuse(words) {
    if (isClosed) {
      if (words && isLoaded) ctx.toasts?.show(`“${title.value}”: ${words}`, { kind: "error" });
      return;
    }
    fault.hidden = !words;
    setText(fault, words);
    if (words) ctx.status?.say?.(words);
  }

  // -- preview -------------------------------------------------------------------------------

  function togglePreview() {
    preview.hidden = !preview.hidden;
    showsPreview.setAttribute("aria-pressed", String(!preview.hidden));
    refreshPreview(0);
  }

  function refreshPreview(after = PREVIEW_MS) {
    clearTimeout(previewTimer);
    if (preview.hidden) return;
    previewTimer = setTimeout(async () => {
      try {
        const answer = await send("POST", `render/${part(kb)}`, { body: area.value, path: base.entry?.path ?? null });
        preview.replaceChildren(answer.ok ? fragmentOf(answer.body) : inWords(answer));
      } catch (error) {
        preview.replaceChildren(inWords(error));
      }
    }, after);
  }

  // -- its life ------------------------------------------------------------------------------

  async function load() {
    try {
      const answer = await get(entryPath(kb, id));
      if (isClosed) return;
      const code = answer.status === 404 && answer.body?.detail?.code;
      const isUnserved = code === "KB_NOT_FOUND"; // also then a draft can be read, and copied
      if (!answer.ok && !((isUnserved || code === "NOT_FOUND") && draftsOf(kb, id).length)) return void refuse(inWords(answer));
      if (answer.ok) {
        setBase(answer.body, answer.position);
        setValues(answer.body);
        area.setSelectionRange(0, 0);
      }
      title.readOnly = area.readOnly = false;
      isLoaded = true;
      if (code === "NOT_FOUND") gone(Date.now());
      toText();
      refuse(isUnserved ? inWords(answer) : "");
      afterwards();
      await offerDrafts();
    } catch (error) {
      refuse(inWords(error));
      const again = make("button", { type: "button", onclick: () => (again.remove(), void load()) }, "Try again");
      fault.append(" ", again);
    }
  }

  function cancel() {
    if (changed()) {
      keep();
      const mine = key;
      ctx.toasts?.show("Your text is kept as a draft.", { action: { label: "Discard", run: () => dropDraft(mine) } });
    }
    leave();
  }

  function close() {
    if (isClosed) return;
    keep();
    isClosed = true;
    clearTimeout(previewTimer);
    conflict.hide();
    release();
    for (const undo of undos) undo();
    form.remove();
  }

  function leave() {
    if (isClosed) return;
    close();
    ctx.onEditorClosed?.();
  }

  const hidden = () => void (document.hidden && keep());
  const isDirty = () => !isClosed && changed() !== null;
  /** @type {(() => void)[]} */
  const undos = [addEditor(isDirty), onOtherTab(() => [kb, id], warnOfOtherTab)];
  const lookAgain = (/** @type {any} */ message) => !message?.first && isLoaded && void look(Date.now());
  function listen() {
    if (isClosed) return;
    if (!ctx.live) return void setTimeout(listen, 250); // the page is still loading its state
    for (const type of ["ready", "resync"]) undos.push(ctx.live.on(type, lookAgain));
  }
  listen();
  addEventListener("pagehide", keep);
  document.addEventListener("visibilitychange", hidden);
  undos.push(() => removeEventListener("pagehide", keep), () => document.removeEventListener("visibilitychange", hidden));
  form.addEventListener("input", typed);
  form.addEventListener("submit", (/** @type {Event} */ event) => (event.preventDefault(), void save(true)));
  form.addEventListener("compositionstart", () => (isComposing = true));
  form.addEventListener("compositionend", () => ((isComposing = false), afterwards()));
  form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "s") return;
    event.preventDefault();
    if (!event.repeat) void save();
  });
  host.append(form);
  void load();
  return {
    onEvent, isDirty, close,
    /** What is told meanwhile is most likely its own doing. */
    get isSaving() {
      return isSaving;
    },
  };
}
