// @ts-check
/**
 * The events of a `pyrite watch`, live, for any page or worker:
 *
 *     import { connect } from "http://127.0.0.1:8088/web/live.js";
 *     const live = connect({ since: position });  // the Pyrite-Position of what was loaded
 *     live.on("entry_updated", (event) => …);
 *     live.state.subscribe((state) => …);
 *
 * It reconnects by itself and resumes where it was: no event is missed, and none is told twice. Where that
 * cannot be, `resync` says so: load the state again. All tabs of a browser share one socket.
 *
 * It touches no document and leaves nothing in the global scope.
 */

import { Feed } from "./live/feed.js";
import { Cursor, isEvent, parsePosition, shownPosition } from "./live/position.js";
import { SharedFeed } from "./live/shared.js";
import { VERSION } from "./live/version.js";

/** @typedef {import("./live/feed.js").State} State */
/** @typedef {import("./live/feed.js").Reason} Reason */
/** @typedef {import("./live/position.js").Message} Message */
/** @typedef {(message: Message, info: {replayed: boolean}) => void} Listener */
/**
 * @typedef {object} Options
 * @property {string | null} [since] EPOCH:OFFSET of what is known; from now on without it
 * @property {readonly string[]} [kbs] only these knowledge bases; all without it
 * @property {string | URL} [url] the server; the one that this file came from without it. A `?token=` goes along
 * @property {boolean} [shared] share one socket with the browser's other tabs, where that can be; true
 */

const ENTRY_EVENTS = new Set(["entry_created", "entry_updated", "entry_deleted", "kb_synced"]);

/** A value that tells when it changes. @template T */
class Observable {
  /** @type {Set<(value: T) => void>} */
  #subscribers = new Set();
  #value;

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  set value(value) {
    if (value === this.#value) return;
    this.#value = value;
    for (const subscriber of [...this.#subscribers]) safely(() => subscriber(value));
  }

  /** Call it now and at each change; returns what ends that. @param {(value: T) => void} subscriber */
  subscribe(subscriber) {
    this.#subscribers.add(subscriber);
    subscriber(this.#value);
    return () => void this.#subscribers.delete(subscriber);
  }
}

/** What a listener throws is the page's own affair, and must not stop the others. @param {() => void} call */
function safely(call) {
  try {
    call();
  } catch (error) {
    reportError(error);
  }
}

class Live {
  /** @type {Observable<State>} */
  state = new Observable(/** @type {State} */ ("connecting"));
  /** Milliseconds from the server's `ts` to here, of the newest live event.
   * @type {Observable<number | null>} */
  lag = new Observable(/** @type {number | null} */ (null));
  /** Why it is refused. @type {Reason | null} */
  reason = null;
  /** @type {string | null} */
  serverVersion = null;
  /** Since when it is not connected. @type {Date | null} */
  lostSince = new Date();
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();
  #everReady = false;
  /** @type {Feed | SharedFeed | null} */
  #feed = null;
  #left = new AbortController();

  /** @param {Options} options */
  constructor({ since = null, kbs = [], url, shared = true }) {
    const own = new URL("../", import.meta.url);
    this.base = url ? new URL(url, globalThis.document?.baseURI ?? own) : own;
    if (!this.base.pathname.endsWith("/")) this.base.pathname += "/";
    this.kbs = [...kbs];
    this.since = since;
    this.cursor = new Cursor(parsePosition(since), this.kbs.length > 0);
    // A worker can only be shared by pages of the origin that it comes from.
    const sameOrigin = own.origin === globalThis.location?.origin && this.base.href === own.href;
    this.shared = shared && sameOrigin && typeof SharedWorker !== "undefined";
    this.#begin();
    this.#listen();
  }

  /** EPOCH:OFFSET of the last that was told. */
  get position() {
    return shownPosition(this.cursor.at);
  }

  /** When the server was last heard. */
  get lastHeard() {
    const at = this.#feed?.lastHeard;
    return at ? new Date(at) : null;
  }

  /** Call a listener for each message of a type; returns what ends that.
   * @param {string} type @param {Listener} listener */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Try at once, whatever the back-off says. */
  reconnect() {
    this.#feed?.reconnect();
  }

  close() {
    this.#left.abort();
    this.#end();
    this.#setState("closed", null);
  }

  #begin() {
    let mine = /** @type {object | null} */ (null);
    const sink = {
      onMessage: (/** @type {Message} */ message, /** @type {boolean} */ replayed) => {
        if (this.#feed === mine) this.#tell(message, replayed);
      },
      onState: (/** @type {State} */ state, /** @type {Reason | null} */ reason) => {
        if (this.#feed === mine) this.#setState(state, reason);
      },
    };
    const { since, cursor, kbs } = this;
    if (this.shared) {
      const onFail = () => {
        this.shared = false;
        if (this.#feed === mine) this.#begin();
      };
      this.#feed = mine = new SharedFeed(workerScript(), since, cursor, kbs, sink, onFail);
    } else this.#feed = mine = new Feed(this.base, since, cursor, kbs, sink);
  }

  #end() {
    const feed = this.#feed;
    this.#feed = null;
    feed?.close();
  }

  #listen() {
    const { signal } = this.#left;
    const wake = () => this.#feed?.wake();
    globalThis.addEventListener?.("online", wake, { signal });
    const page = globalThis.document;
    if (!page) return;
    page.addEventListener("visibilitychange", () => page.hidden || wake(), { signal });
    page.addEventListener("resume", wake, { signal });
    // A page that is put by (for "back") hears nothing, and with an open socket or lock it could not be.
    addEventListener("pagehide", () => this.#putBy(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && !this.#feed && this.#begin(), { signal });
  }

  #putBy() {
    this.#end();
    this.#setState("reconnecting", null);
  }

  /** @param {State} state @param {Reason | null} reason */
  #setState(state, reason) {
    if (state === "reconnecting" && !this.#everReady) state = "connecting";
    this.reason = reason;
    this.lostSince = state === "live" ? null : (this.lostSince ?? new Date());
    this.state.value = state;
  }

  /** @param {Message} message @param {boolean} replayed */
  #tell(message, replayed) {
    const { type } = message;
    if (type === "ready") {
      message = { ...message, first: !this.#everReady };
      this.#everReady = true;
      this.serverVersion = message.server_version ?? null;
      this.since = null;
    } else if (isEvent(message) && !replayed) {
      // Clocks differ: what came before it was sent came at once.
      this.lag.value = Math.max(0, Date.now() - Date.parse(message.ts)) || 0;
    }
    this.#call(type, message, replayed);
    if (ENTRY_EVENTS.has(type)) this.#call("event", message, replayed);
  }

  /** @param {string} type @param {Message} message @param {boolean} replayed */
  #call(type, message, replayed) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) safely(() => listener(message, { replayed }));
  }
}

/** @type {{createScriptURL(text: string): string} | null | undefined} */
let policy;

/** The worker's address, as a TrustedScriptURL where the page demands one. */
function workerScript() {
  const address = new URL("./live-worker.js", import.meta.url);
  address.search = `?v=${VERSION}`;
  const { href } = address;
  if (policy === undefined) {
    try {
      // The policy lets this one address through: nothing else can be made with it.
      const only = (/** @type {string} */ text) => {
        if (text !== href) throw new TypeError("not the worker of live.js");
        return text;
      };
      const { trustedTypes } = /** @type {any} */ (globalThis);
      policy = trustedTypes?.createPolicy("pyrite-live", { createScriptURL: only }) ?? null;
    } catch {
      policy = null; // not allowed here: the worker's start then fails, and a socket of our own is taken
    }
  }
  return policy ? policy.createScriptURL(href) : href;
}

/** Follow a server. @param {Options} [options] */
export function connect(options = {}) {
  return new Live(options);
}
