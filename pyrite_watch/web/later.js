// @ts-check
// The parts of the page that nobody needs to read: loaded when they are first wanted, or when an entry is
// shown that may be edited and the browser has time. From then on they are there, also without a server.
import { make } from "./html.js";

const STYLE = "web/styles/later.css";
/** @type {Promise<unknown> | null} */
let styled = null;

/** How these parts look. Without it they work as well. */
export const style = () => (styled ??= new Promise((done) => document.head.append(make("link", { rel: "stylesheet", href: STYLE, onload: done, onerror: done }))));

const PARTS = {
  dialogs: () => import("./dialogs.js"),
  editor: () => import("./editor.js"),
};
const there = new Set();

/**
 * @template {keyof typeof PARTS} Name
 * @param {any} ctx @param {Name} name @returns {Promise<Awaited<ReturnType<(typeof PARTS)[Name]>> | null>} Null: it could not be loaded, and that was said.
 */
async function part(ctx, name) {
  const reload = { label: "Reload", run: () => location.reload() };
  // Parts of two versions would not fit together.
  if (ctx.isOld && !there.has(name)) return ctx.toasts.show("The server has been updated. Reload this page first.", { kind: "warn", action: reload }), null;
  try {
    const [loaded] = await Promise.all([PARTS[name](), style()]);
    there.add(name);
    return /** @type {any} */ (loaded);
  } catch {
    // Not every browser asks again for a module that it could not load.
    ctx.toasts.show("This needs a part of the page that could not be loaded: the server does not answer. Reload when it is back.", { kind: "warn", action: reload });
    return null;
  }
}

/** @param {any} ctx */
export const openHelp = async (ctx) => (await part(ctx, "dialogs"))?.openHelp(ctx);

/** @param {any} ctx @param {{kb?: string}} [where] */
export const openNewEntry = async (ctx, where) => (await part(ctx, "dialogs"))?.openNewEntry(ctx, where);

/** @param {any} ctx @param {() => {kb: string, id: string, title: string, revision: string}} entry As it is when it can be asked. */
export const confirmDelete = async (ctx, entry) => (await part(ctx, "dialogs"))?.confirmDelete(ctx, entry());

/** @param {any} ctx @returns {Promise<typeof import("./editor.js").openEditor | null>} */
export const bringEditor = async (ctx) => (await part(ctx, "editor"))?.openEditor ?? null;

/** Load everything that whoever reads an entry may come to need. @param {any} ctx @param {() => Promise<unknown>} more */
export function loadWhenIdle(ctx, more) {
  const load = () => {
    const names = /** @type {(keyof typeof PARTS)[]} */ (Object.keys(PARTS)).filter((name) => !there.has(name));
    if (!ctx.isOld) Promise.all([more(), style(), ...names.map((name) => PARTS[name]().then(() => there.add(name)))]).catch(() => {});
  };
  "requestIdleCallback" in globalThis ? requestIdleCallback(load, { timeout: 2_000 }) : setTimeout(load, 500);
}
