// @ts-check
// Numbers, counts and times in words.
import { make, setText } from "./html.js";

const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** @param {number} n */
export const count = (n) => number.format(n);

/** @param {number} n */
export const plural = (n, one = "entry", many = "entries") => `${count(n)} ${n === 1 ? one : many}`;

/** @param {Date} [when] */
export const clockOf = (when = new Date()) => clock.format(when);

let today = new Date().toDateString(); // asked for each row of a list

/** Where another day has begun, let moments of the one before be told by their day. A file's own stay. @param {...Element} roots */
export function turnDay(...roots) {
  if (today === (today = new Date().toDateString())) return;
  for (const root of roots) {
    for (const time of root.querySelectorAll("time[datetime]:not(.body *, .preview *)")) setText(time, shortTime(/** @type {any} */ (time).dateTime));
  }
}

/** A date alone is a day here, not in Greenwich. @param {string | undefined} ts */
const dateOf = (ts) => new Date(ts?.length === 10 ? `${ts}T00:00` : (ts ?? Date.now()));

/** A moment in few characters: the clock today, the day this year, else the date. @param {string | undefined} ts */
export function shortTime(ts) {
  const when = dateOf(ts);
  if (Number.isNaN(when.getTime())) return String(ts);
  const on = when.toDateString();
  if (on === today && ts?.length !== 10) return minute.format(when);
  return (on.slice(-4) === today.slice(-4) ? day : year).format(when);
}

/** @param {string} [ts] */
export function timeOf(ts) {
  const when = dateOf(ts);
  const good = !Number.isNaN(when.getTime());
  const text = good && ts?.length !== 10 && when.toDateString() === today ? clock.format(when) : shortTime(ts);
  return make("time", { dateTime: good ? (ts ?? when.toISOString()) : null, title: good ? full.format(when) : null }, text);
}

/** How late a change came. @param {number} ms */
export function lateness(ms) {
  if (ms < 1) return "";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${Math.round(ms / 1_000)} s late`;
  return ms < 5_400_000 ? `${Math.round(ms / 60_000)} min late` : `${Math.round(ms / 3_600_000)} h late`;
}

/** @param {{updated: number, created: number, deleted: number}} counts */
export function changesInWords({ updated, created, deleted }) {
  const words = [updated && `${count(updated)} changed`, created && `${count(created)} created`, deleted && `${count(deleted)} deleted`];
  return words.filter(Boolean).join(", ");
}

/** @param {any} problem */
export const problemText = ({ message, line }) => `${line ? `Line ${line}: ` : ""}${line ? message : message.charAt(0).toUpperCase() + message.slice(1)}`;
