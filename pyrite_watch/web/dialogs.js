// @ts-check
// Native dialogs: a new entry, the question before a deletion, the keys. The browser keeps the focus inside
// and gives it back; Escape closes.

import { get, inWords, Offline, part, send, viewPath } from "./api.js";
import { ago } from "./conflict.js";
import { addEditor, dropDraft, heldKeys, holdKey, keepDraft, newKey } from "./draft-keys.js";
import { draftsOf } from "./drafts.js";
import { make, setText } from "./html.js";
import { KEYS } from "./keyboard.js";

const KEEP_MS = 200;
const ANSWER_MS = 30_000; // whatever a server that hangs has done by then: the next try tells

/** @template T @param {Promise<T>} request @returns {Promise<T>} @throws {Offline} */
function inTime(request) {
  let timer = 0;
  const late = new Promise((_, fail) => (timer = setTimeout(fail, ANSWER_MS, new Offline("No answer."))));
  return /** @type {Promise<T>} */ (Promise.race([request, late])).finally(() => clearTimeout(timer));
}

/** @param {string} heading @param {...any} content @returns {HTMLDialogElement} */
function open(heading, ...content) {
  const title = make("h2", { id: "dialog-title" }, heading);
  const dialog = make("dialog", { "aria-labelledby": "dialog-title" }, title, ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {any} fault */
const words = (fault) =>
  fault?.status === 422 && Array.isArray(fault.body?.detail) ? fault.body.detail.map((/** @type {any} */ one) => one.msg).join("; ") : inWords(fault);

/** Say what was refused: in its dialog, or as a message where that was left before the answer. @param {any} ctx @param {any} fault @param {string} title @param {string} text */
function refuse(ctx, fault, title, text) {
  if (fault.closest("dialog").open) setText(fault, text);
  else ctx.toasts?.show(`“${title}”: ${text}`, { kind: "error" });
}

/** The keys of the page. @param {any} _ctx */
export function openHelp(_ctx) {
  const rows = KEYS.flatMap(([key, , what]) => [make("dt", {}, make("kbd", {}, key === "Escape" ? "Esc" : key)), make("dd", {}, what)]);
  const save = [make("dt", {}, make("kbd", {}, "Ctrl S")), make("dd", {}, "Save what is being edited (⌘ S on a Mac)")];
  const close = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = open("Keys", make("dl.keys", {}, ...rows, ...save), make("p.actions", {}, close));
}

/**
 * Ask before a deletion, and delete the revision that was seen: what changed since is not deleted unseen.
 * @param {any} ctx @param {{kb: string, id: string, title: string, revision: string}} entry @returns {Promise<boolean>}
 */
export function confirmDelete(ctx, { kb, id, title, revision }) {
  return new Promise((resolve) => {
    const fault = make("p.fault", { role: "alert" });
    let isBusy = false;
    let isDone = false;
    const run = async () => {
      if (isBusy) return;
      isBusy = true;
      try {
        const answer = await inTime(send("DELETE", `api/entries/${part(id)}?kb=${part(kb)}`, undefined, { ifMatch: revision }));
        const isMissing = answer.status === 404 && answer.body?.detail?.code === "NOT_FOUND";
        if (answer.ok || isMissing) {
          isDone = true;
          dialog.close();
          ctx.toasts?.show(isMissing ? `“${title}” was deleted already.` : `Deleted “${title}”.`);
          return;
        }
        const now = answer.body?.detail?.revision;
        if (answer.status === 412 && now && now !== revision && dialog.open) {
          revision = now;
          setText(fault, "It has changed on disk since you saw it. Delete it all the same?");
        } else refuse(ctx, fault, title, `Not deleted: ${words(answer)}`);
      } catch (error) {
        refuse(ctx, fault, title, `Not deleted, as far as is known: ${inWords(error)}`);
      } finally {
        isBusy = false;
      }
    };
    const dialog = open(
      "Delete this entry?",
      make("p", {}, make("strong", {}, title), ` (${kb} / ${id})`),
      make("p", {}, "Its file is removed from the disk. Links to it stay, and lead nowhere."),
      fault,
      make(
        "p.actions",
        {},
        make("button.danger", { type: "button", onclick: run }, "Delete"),
        make("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel"),
      ),
    );
    dialog.addEventListener("close", () => resolve(isDone));
  });
}

/**
 * Make a new entry; what is typed is a draft until it is on the server's disk.
 * @param {any} ctx @param {{kb?: string}} [where]
 */
export async function openNewEntry(ctx, { kb } = {}) {
  const fault = make("p.fault", { role: "alert" });
  const note = make("span.note");
  const offers = make("div.offers");
  const kbs = make("select", { name: "kb" }, kb && make("option", { value: kb }, kb)); // the others come with the list
  const types = make("datalist", { id: "entry-types" });
  const title = make("input", { type: "text", name: "title", autocomplete: "off", autofocus: true, dir: "auto" });
  const type = make("input", { type: "text", name: "type", value: "note", autocomplete: "off", dir: "auto" });
  type.setAttribute("list", "entry-types");
  const body = make("textarea", { name: "body", rows: 10, dir: "auto", "aria-label": "Body" });
  let key = newKey("", null);
  let release = holdKey(key, keep);
  let timer = 0;
  let [isBusy, isSaved] = [false, false];

  const isDirty = () => !isSaved && Boolean(title.value || body.value);
  /** @returns {boolean} False: in this tab's memory only. */
  function keep() {
    clearTimeout(timer);
    timer = 0;
    if (!isDirty()) return dropDraft(key), true;
    const draft = { key, kb: "", id: null, title: title.value, body: body.value, type: type.value, into: kbs.value, revision: null, at: Date.now() };
    const stored = keepDraft(draft);
    setText(note, stored ? "Draft kept" : "This draft lives only in this tab: the browser's storage is full or denied.");
    return stored;
  }

  /** Write under another key from now on. @param {string} next */
  function goOn(next) {
    release();
    release = holdKey((key = next), keep);
  }

  async function save() {
    if (isBusy) return;
    if (!kbs.value) return void setText(fault, "There is no knowledge base to write to, as far as is known.");
    if (!title.value.trim()) return void (setText(fault, "A title is needed."), title.focus());
    isBusy = true;
    keep();
    try {
      const sent = { kb: kbs.value, title: title.value, entry_type: type.value.trim() || "note", body: body.value };
      const answer = await inTime(send("POST", "api/entries", sent));
      const { ok, status, body: said } = answer;
      if (ok && said?.revision) {
        isSaved = true;
        dropDraft(key);
        // What was typed while it was saved is a draft of the entry that there is now.
        const late = { title: title.value === sent.title ? null : title.value, body: body.value === sent.body ? null : body.value };
        if (late.title !== null || late.body !== null) keepDraft({ key: newKey(sent.kb, said.id), kb: sent.kb, id: said.id, ...late, revision: said.revision, at: Date.now() });
        const made = { kb: said.kb_name ?? sent.kb, id: said.id, revision: said.revision, offset: said.offset };
        if (dialog.open) {
          dialog.close();
          ctx.onSaved?.(made);
        } else ctx.toasts?.show(`Created “${sent.title}”.`, { action: { label: "Show", run: () => ctx.router.go(viewPath(made.kb, made.id)) } });
      } else if (status === 409) refuse(ctx, fault, sent.title, `Not created: ${words(answer)} A title that differs makes another id.`);
      else refuse(ctx, fault, sent.title, `Not created: ${words(answer)} Your text is kept.`);
    } catch (error) {
      if (!(error instanceof Offline)) throw error;
      refuse(ctx, fault, title.value, "Not created, as far as is known: the server does not answer. Your text is kept; press Save again when it is back.");
    } finally {
      isBusy = false;
    }
  }

  const form = make(
    "form.editor",
    {},
    offers,
    fault,
    make("label.field", {}, make("span", {}, "Knowledge base"), kbs),
    make("label.field", {}, make("span", {}, "Title"), title),
    make("label.field", {}, make("span", {}, "Type"), type, types),
    make("label.field", {}, make("span", {}, "Body"), body),
    make(
      "p.actions",
      {},
      make("button.primary", { type: "submit" }, "Save"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      note,
    ),
  );
  form.addEventListener("submit", (/** @type {Event} */ event) => (event.preventDefault(), void save()));
  form.addEventListener("input", () => (timer ||= setTimeout(keep, KEEP_MS)));
  form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "s") return;
    event.preventDefault();
    if (!event.repeat) void save();
  });
  const dialog = open("New entry", form);
  const removeEditor = addEditor(isDirty);
  addEventListener("pagehide", keep);
  dialog.addEventListener("close", () => {
    keep();
    if (isDirty()) {
      const mine = key;
      ctx.toasts?.show("Your text is kept as a draft.", { action: { label: "Discard", run: () => dropDraft(mine) } });
    }
    release();
    removeEditor();
    removeEventListener("pagehide", keep);
  });

  async function loadTypes() {
    try {
      const { body: page } = await get(`api/entries?kb=${part(kbs.value)}&fields=entry_type&limit=1000`);
      const found = new Set(page.entries.map((/** @type {any} */ { entry_type }) => entry_type));
      types.replaceChildren(...[...found].sort().map((value) => make("option", { value })));
    } catch {
      // Only suggestions.
    }
  }
  kbs.addEventListener("change", loadTypes);
  try {
    const { body: said } = await get("api/kbs");
    const chosen = kbs.value;
    kbs.replaceChildren();
    for (const one of said.kbs) {
      const isClosed = one.read_only || one.available === false;
      kbs.append(make("option", { value: one.name, disabled: isClosed, selected: one.name === chosen }, one.name + (one.read_only ? " (read-only)" : isClosed ? " (unavailable)" : "")));
    }
    if (!chosen) kbs.value = said.kbs.find((/** @type {any} */ one) => !one.read_only && one.available !== false)?.name ?? "";
    await loadTypes();
  } catch (error) {
    setText(fault, inWords(error));
  }

  const held = await heldKeys();
  const draft = draftsOf("", null).find((one) => one.key !== key && !held.has(one.key));
  if (!draft) return;
  const offer = make("p.offer", {}, `There is an unsaved draft from ${ago(draft.at)}: “${draft.title || draft.body?.slice(0, 40)}”. `);
  // Another tab may have taken it up since it was offered: then it is left to that one.
  const isHeld = async () => (await heldKeys()).has(draft.key);
  const restore = async () => {
    const isTaken = await isHeld();
    if (!dialog.open) return;
    const now = draftsOf("", null).find((one) => one.key === draft.key) ?? draft;
    keep();
    goOn(newKey("", null));
    [title.value, body.value, type.value] = [now.title ?? "", now.body ?? "", now.type ?? "note"];
    if ([...kbs.options].some(({ value, disabled }) => value === now.into && !disabled)) kbs.value = now.into ?? "";
    const isKept = keep();
    if (isTaken) return;
    const mine = key;
    // Where the storage is full, there is no room for a second copy: go on with that one.
    if (!isKept) (goOn(draft.key), keep());
    dropDraft(isKept ? draft.key : mine);
  };
  const discard = async () => {
    if (await isHeld()) setText(fault, "Not discarded: another tab is typing that draft.");
    else dropDraft(draft.key);
  };
  const answer = (/** @type {() => void} */ run) => () => (offer.remove(), run(), title.focus());
  offer.append(
    make("button", { type: "button", onclick: answer(restore) }, "Restore draft"),
    make("button", { type: "button", onclick: answer(discard) }, "Discard draft"),
  );
  offers.append(offer);
}
