// @ts-check
// The server's API, seen from the page: addresses are relative to the page's base, so a sub-path works.

/** The server could not be reached. What it would have said is not known. */
export class Offline extends Error {
  name = "Offline";
}

/** @typedef {{status: number, ok: boolean, body: any, etag: string | null, position: string | null, headers: Headers}} Answer */

/** @param {string} path */
export const url = (path) => new URL(path, document.baseURI);

/** A part of an address. Names come from files: a broken one must not throw. @param {string} text */
export const part = (text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\uFFFD"));

/** Where the API has this entry. @param {string} kb @param {string} id */
export const entryPath = (kb, id) => `api/entries/${part(id)}?kb=${part(kb)}`;

/** The page's address of a KB, or of an entry. @param {string} kb @param {string} [id] */
export const viewPath = (kb, id) => (id === undefined ? `k/${part(kb)}` : `k/${part(kb)}/${part(id)}`);

/**
 * The answer before its body is read.
 * @param {string} path @param {RequestInit} [options]
 * @throws {Offline}
 */
export async function ask(path, options) {
  try {
    return await fetch(url(path), { cache: "no-store", ...options });
  } catch (error) {
    throw new Offline("The server does not answer.", { cause: error });
  }
}

/** @param {Response} response @returns {Promise<Answer>} */
async function answerOf(response) {
  const { status, ok, headers } = response;
  /** @type {any} */
  let body;
  try {
    body = await response.text();
  } catch (error) {
    throw new Offline("The server broke off.", { cause: error });
  }
  if (headers.get("Content-Type")?.includes("json")) {
    try {
      body = JSON.parse(body);
    } catch {
      body = null; // a proxy's own page, say: `status` tells enough
    }
  }
  return { status, ok, body, etag: headers.get("ETag"), position: headers.get("Pyrite-Position"), headers };
}

/** @param {string} path @param {RequestInit} [options] */
export const get = async (path, options) => answerOf(await ask(path, { signal: AbortSignal.timeout(20_000), ...options }));

/**
 * Write. A refusal is an answer (`ok` is false); only a network fault throws.
 * @param {string} method @param {string} path @param {any} [body] @param {{ifMatch?: string | null}} [options]
 */
export async function send(method, path, body, { ifMatch } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (ifMatch) headers["If-Match"] = /^(W\/)?"/.test(ifMatch) ? ifMatch : `"${ifMatch}"`;
  return answerOf(await ask(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
}

/** What went wrong, in words for people. @param {any} fault An answer or an error. */
export function inWords(fault) {
  if (fault instanceof Offline) return "The server does not answer.";
  if (fault?.status === 401) return "This server wants a token. Add ?token=… to this page's address.";
  const detail = fault?.body?.detail;
  if (typeof detail?.message === "string") return [detail.message, detail.hint].filter(Boolean).join(" ");
  return fault?.status ? `The server answered ${fault.status}.` : "Something went wrong in this page.";
}
