// @ts-check
// One entry: its text, its front matter, who links here. It follows its file: changed in place, kept where it
// was deleted, and at its new address where it was moved.
import { ask, entryPath, get, inWords, part, viewPath } from "../api.js";
import { showBlocks } from "../blocks.js";
import { draftsOf } from "../drafts.js";
import { make, refill, setText } from "../html.js";
import { bringEditor, confirmDelete, loadWhenIdle, openNewEntry, style } from "../later.js";
import { clockOf, problemText, timeOf } from "../words.js";

const LINKS_EVERY_MS = 400; // other entries' changes: who links here, and what is missing
const RETRY_MS = 5_000;
const SHOWN_FIRST = 12; // fields of the front matter; more are folded

/** @param {any} value */
function valueOf(value) {
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return typeof value === "object" && value !== null ? make("pre", {}, JSON.stringify(value, null, 2)) : String(value ?? "–");
}

/** @param {any} ctx @param {HTMLElement} main @param {{kb: string, id: string}} params */
export function openEntry(ctx, main, { kb, id }) {
  const { store, router } = ctx;
  const title = make("h1", { tabIndex: -1, dir: "auto" }, store.of(kb).get(id)?.title ?? "…");
  const edit = make("button", { type: "button", "aria-keyshortcuts": "e", onclick: () => startEditing() }, "Edit");
  const remove = make("button", { type: "button", onclick: askDelete }, "Delete");
  const tools = make("div.tools", { hidden: true }, edit, remove);
  const crumb = make("a", { href: viewPath(kb) }, make("bdi", {}, kb));
  const state = make("p.notice", { hidden: true });
  const problems = make("div");
  const facts = make("dl.facts");
  const more = make("dl.facts");
  const about = make("details.about", { hidden: true }, make("summary", {}, "More front matter"), more);
  const body = make("div.body", { dir: "auto" });
  const linkedList = make("ul", { role: "list" });
  const linked = make("section.linked", { "aria-label": "Linked from", hidden: true }, make("h2", {}, "Linked from"), linkedList);
  const host = make("div.editor-host");
  const article = make("article", { dataset: { kb, id, revision: "" } }, make("div.view-head", {}, title, tools), state, problems, facts, about, host, body, linked);
  main.append(make("p.crumbs", {}, make("a", { href: "./" }, "Knowledge bases"), " / ", crumb), article);

  /** @type {any} Changes the text in place, and marks what changed: not needed before something does. */
  let marks = null;
  /** @type {any} */ let editor = null;
  let isOpening = false;
  let html = "";
  let revision = "";
  let etag = "";
  let shown = "";
  let shownLinks = "";
  let closed = false;
  let there = false; // it was shown, or is
  let deleted = false;
  let deletedAt = "";
  let linksTimer = 0;
  let edited = { kb, id }; // the editor follows a move at once, this view with the next frame

  /** @param {any} entry */
  function showEntry(entry) {
    setText(title, entry.title);
    noteTitle();
    if (view.title !== entry.title) {
      view.title = entry.title;
      ctx.retitle();
    }
    const kept = JSON.stringify({ ...entry, body: "", outlinks: 0, backlinks: 0 });
    if (kept !== shown) {
      shown = kept;
      const { id: _id, title: _title, type: _type, tags: _tags, date: _date, ...rest } = entry.metadata ?? {};
      const all = /** @type {[string, any][]} */ ([
        ["Type", entry.entry_type],
        ...(entry.tags?.length ? [["Tags", entry.tags.join(", ")]] : []),
        ...(entry.date ? [["Date", entry.date]] : []),
        ["Changed", timeOf(entry.updated_at)],
        ["File", make("bdi.path", {}, entry.path)],
        ...Object.entries(rest).map(([name, value]) => [name, valueOf(value)]),
      ]);
      const pairs = all.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, value)));
      const long = pairs.filter((pair, at) => at >= SHOWN_FIRST || pair.querySelector("pre"));
      facts.replaceChildren(...pairs.filter((pair) => !long.includes(pair)));
      more.replaceChildren(...long);
      about.hidden = !long.length;
    }
    const links = JSON.stringify(entry.backlinks);
    if (links !== shownLinks) {
      shownLinks = links;
      refill(linkedList, ...entry.backlinks.map((/** @type {any} */ { kb_name, id: other, title: its }) => make(
        "li", { dataset: { kb: kb_name, id: other } }, make("a", { href: viewPath(kb_name, other) }, make("bdi", {}, its)), kb_name !== kb && make("span.meta", {}, ` · ${kb_name}`),
      )));
      linked.hidden = !entry.backlinks.length;
    }
    path = entry.path;
    showProblems();
  }

  let path = "";
  let shownProblems = "";
  function showProblems() {
    const found = (store.problems ?? []).filter((/** @type {any} */ one) => one.kb_name === kb && one.path === path);
    const now = JSON.stringify(found);
    if (now === shownProblems) return;
    shownProblems = now;
    const fill = () => problems.replaceChildren(...found.map((/** @type {any} */ one) => make("p.notice.bad", { dir: "auto" }, `This file has a problem. ${problemText(one)}`)));
    there ? anchored(fill) : fill();
  }

  /** @param {string} text @param {boolean} [bad] */
  function say(text, bad = false) {
    if (text === state.textContent) return;
    const change = () => {
      setText(state, text);
      state.hidden = !text;
      state.classList.toggle("bad", bad);
    };
    there ? anchored(change) : change();
  }

  /** @param {string} now */
  function isAt(now) {
    if (now !== revision) article.dataset.revision = revision = now;
  }

  /** @param {() => void} change */
  const anchored = (change) => (marks ? marks.anchored(change) : change());

  async function bringMarks() {
    const [{ makeMarks }] = await Promise.all([import("../marks.js"), style()]);
    if (!closed) marks ??= makeMarks(body, article);
  }

  /** A text that begins with its title would say it twice. */
  function noteTitle() {
    const first = body.firstElementChild;
    body.classList.toggle("titled", first?.tagName === "H1" && first.textContent?.trim() === title.textContent?.trim());
  }

  /** @param {string} next @param {boolean} isSilent */
  async function showText(next, isSilent) {
    if (next === html) return;
    const isFirst = !html;
    if (!isFirst && !marks) await bringMarks().catch(() => {});
    html = next;
    if (isFirst || !marks) showBlocks(body, next);
    else marks.update(next, { silent: isSilent });
    noteTitle();
  }

  /** Edit, also where nothing can be read or written but a draft; Delete where there is something. */
  function showTools() {
    const focused = /** @type {any} */ (document.activeElement);
    const isHere = there && !deleted && !store.kbs.get(kb)?.read_only;
    remove.hidden = !isHere;
    tools.hidden = Boolean(editor) || !(isHere || draftsOf(kb, id).length);
    if (tools.contains(focused) && !focused.offsetParent) toTitle();
  }

  const toTitle = () => title.focus({ preventScroll: true });

  async function askDelete() {
    await confirmDelete(ctx, () => ({ kb, id, title: title.textContent ?? id, revision }));
    if (document.activeElement === document.body) toTitle(); // the button was gone before the dialog was
  }

  /** @param {string} text */
  const withDraft = (text) => (draftsOf(kb, id).length ? `${text} An unsaved draft of it is kept: Edit shows it.` : text);

  let loading = false;
  let failed = false;
  let retryTimer = 0;
  let again = false;
  let againSilent = true;
  /** @param {{silent?: boolean}} [options] */
  async function load({ silent = false } = {}) {
    if (loading) {
      again = true;
      againSilent &&= silent;
      return;
    }
    loading = true;
    failed = false;
    try {
      const [of_kb, of_id] = [kb, id];
      const same = () => !closed && of_kb === kb && of_id === id;
      const text = ask(`render/${part(kb)}/${part(id)}`, { headers: etag ? { "If-None-Match": etag } : {}, signal: AbortSignal.timeout(30_000) })
        .then(async (response) => {
          const next = response.status === 200 ? await response.text() : "";
          if (!same()) return response;
          if (response.status === 200) {
            await showText(next, silent || deleted);
            if (!same()) return response;
            etag = response.headers.get("ETag") ?? "";
          }
          if (response.status === 200 || response.status === 304) isAt(response.headers.get("Pyrite-Revision") ?? revision);
          return response;
        });
      const [rendered, entry] = await Promise.all([text, get(entryPath(kb, id))]);
      failed = rendered.status > 500;
      const code = entry.status === 404 && entry.body?.detail?.code;
      if (!same()) again = !closed;
      else if (entry.ok) {
        say(rendered.status < 400 ? "" : inWords(rendered), true);
        anchored(() => showEntry(entry.body));
        there = true;
        deleted = false;
        deletedAt = "";
        article.querySelector(".make")?.remove();
        article.classList.remove("is-deleted");
        if (!revision) isAt(entry.body.revision);
        showTools();
      } else if (there ? code === "NOT_FOUND" && !ctx.status.isIndexing : code) absent();
      else {
        failed = true;
        if (code !== "NOT_FOUND") say(inWords(entry), true); // else a first index comes to it yet
      }
    } catch (error) {
      failed = true;
      if (!closed && !there) say(`${inWords(error)} This entry is shown as soon as it does.`, true);
    }
    loading = false;
    // The connection may be fine: then nothing else asks again.
    clearTimeout(retryTimer);
    if (failed) retryTimer = setTimeout(() => view.retry(), RETRY_MS);
    if (again) {
      [again, silent, againSilent] = [false, againSilent, true];
      await load({ silent });
    }
  }

  function absent() {
    if (there) return gone();
    setText(title, id);
    view.title = "Not here";
    ctx.retitle();
    showTools();
    say(withDraft(`There is no entry “${id}” in “${kb}”. It may have been deleted or renamed. When it comes, it is shown here.`));
    if (!article.querySelector(".make") && store.kbs.get(kb) && !store.kbs.get(kb).read_only) {
      article.insertBefore(make("p.make", {}, make("button", { type: "button", onclick: () => openNewEntry(ctx, { kb }) }, "New entry")), problems);
    }
  }

  function gone() {
    deleted = true;
    deletedAt ||= clockOf();
    showTools();
    article.classList.add("is-deleted");
    say(withDraft(`This entry was deleted at ${deletedAt}. What you see is its last version.`), true);
  }

  /** It is at another address now. @param {string} to_kb @param {string} to_id */
  function moved(to_kb, to_id) {
    [kb, id] = [to_kb, to_id];
    Object.assign(article.dataset, { kb, id });
    crumb.href = viewPath(kb);
    setText(crumb, kb);
    etag = "";
    router.rename(viewPath(kb, id));
    load({ silent: true });
  }

  async function startEditing() {
    if (editor || isOpening || tools.hidden) return;
    isOpening = true;
    const openEditor = await bringEditor(ctx);
    isOpening = false;
    if (!openEditor || closed || tools.hidden) return;
    editor = openEditor(ctx, host, { kb, id, article });
    edited = { kb, id };
    tools.hidden = body.hidden = true;
    view.editor = editor;
  }

  function looksAgain() {
    linksTimer ||= setTimeout(async () => {
      linksTimer = 0;
      if (there && !deleted && !closed) await load({ silent: true });
    }, LINKS_EVERY_MS);
  }

  const stop = store.observe({
    tell() {
      if (!there) return;
      showTools();
      showProblems();
    },
  });
  const view = {
    title: store.of(kb).get(id)?.title ?? id,
    editor,
    ready: load().then(() => loadWhenIdle(ctx, bringMarks)),
    /** @param {any} event */
    onEvent(event) {
      const { type, kb_name, entry_id, moved_to } = event;
      if (type === "kb_synced") return;
      if (kb_name !== kb || entry_id !== id) return looksAgain();
      if (type !== "entry_deleted") return void load({ silent: Boolean(editor?.isSaving) });
      if (moved_to) moved(moved_to.kb_name, moved_to.entry_id);
      else {
        if (there) gone();
        if (loading) load(); // what is under way may have been read before
      }
    },
    /** @param {any} event */
    editorEvent(event) {
      if (!editor || event.kb_name !== edited.kb || event.entry_id !== edited.id) return;
      editor.onEvent(event);
      if (event.moved_to) edited = { kb: event.moved_to.kb_name, id: event.moved_to.entry_id };
    },
    reload: () => load(),
    retry: () => failed && !closed && load(),
    /** Maybe at an address that the editor has followed it to, and this view has not yet. @param {any} to */
    onSaved(to) {
      const isHere = to.kb === kb && to.id === id;
      if (!isHere && to.kb === edited.kb && to.id === edited.id) moved(to.kb, to.id);
      else load({ silent: true });
    },
    onEditorClosed() {
      editor = view.editor = null;
      body.hidden = false;
      if (closed) return;
      if (deleted) gone();
      else if (!there) absent();
      showTools();
      if (document.activeElement === document.body) edit.focus({ preventScroll: true });
      load();
    },
    edit: startEditing,
    nextChange: () => marks?.next(),
    close() {
      closed = true;
      editor?.close();
      stop();
      clearTimeout(linksTimer);
      marks?.close();
    },
  };
  return view;
}
