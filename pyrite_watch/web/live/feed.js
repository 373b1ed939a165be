// @ts-check
// One socket to a server that is opened again and again, and resumes where it was.
//
// It works in a page and in a worker, and knows no DOM. Its user tells it of moments at which looking at
// once pays (`wake`). It must not lose its position for anything but the server's own word.

import { Cursor, shownPosition } from "./position.js";

/** @typedef {import("./position.js").Message} Message */
/** @typedef {import("./position.js").Position} Position */
/** @typedef {"connecting" | "live" | "reconnecting" | "refused" | "closed"} State */
/** @typedef {"token" | "kb" | "forbidden"} Reason */
/**
 * @typedef {object} Sink
 * @property {(message: Message, replayed: boolean) => void} onMessage in order, without repeats
 * @property {(state: State, reason: Reason | null) => void} onState
 */

const BACKOFF_MIN_MS = 250;
const BACKOFF_MAX_MS = 10_000;
const REFUSED_MAX_MS = 30_000; // it is refused until somebody does something: a token by another tab, say
const STEADY_MS = 5_000; // a connection that lived so long starts the back-off afresh
const OPEN_TIMEOUT_MS = 10_000;
const SILENCE_MS = 35_000; // the server's heartbeat comes every 15 s: two were missed
const WAKE_SILENCE_MS = 20_000; // after sleep or a change of network one missed heartbeat is enough
const TICK_MS = 2_000;

const MALFORMED = 4409;
/** @type {Record<number, Reason>} */
const REFUSED = { 4401: "token", 4404: "kb" };

export class Feed {
  /** @type {State} */
  state = "connecting";
  /** @type {Reason | null} */
  reason = null;
  lastHeard = 0; // Date.now(), which goes on while the machine sleeps
  /** @type {WebSocket | null} */
  #socket = null;
  #attempts = 0;
  #readyAt = 0;
  #openedAt = 0;
  #tickedAt = Date.now();
  #beginsAnew = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticker;

  /**
   * @param {URL} base the server's address, with a slash at its end; its query (a token) goes along
   * @param {string | null} since EPOCH:OFFSET, or null for from now on
   * @param {Cursor} cursor where `since` is, if it is a position
   * @param {readonly string[]} kbs none for all
   * @param {Sink} sink
   */
  constructor(base, since, cursor, kbs, sink) {
    this.base = base;
    this.cursor = cursor;
    this.kbs = kbs;
    this.sink = sink;
    // Sent as given: whether it can be meant is the server's to say.
    this.#since = cursor.at ? null : since;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#open();
  }

  /** @type {string | null} */
  #since;

  /** Look at once whether it is still connected: the device woke, or is online again. */
  wake() {
    if (this.state === "closed") return;
    if (!this.#socket) this.#open();
    else if (this.#silentFor(WAKE_SILENCE_MS)) this.reconnect();
  }

  /** Drop the connection and resume with a new one, at once. */
  reconnect() {
    if (this.state === "closed") return;
    this.#drop();
    this.#open();
  }

  close() {
    clearInterval(this.#ticker);
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#setState("closed");
  }

  #open() {
    clearTimeout(this.#retryTimer);
    if (this.state === "live") this.#setState("reconnecting");
    const address = new URL("ws", this.base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = this.base.search;
    for (const kb of this.kbs) address.searchParams.append("kb", kb);
    address.searchParams.set("since", shownPosition(this.cursor.at) ?? this.#since ?? "now");
    this.cursor.joining = true;
    this.#readyAt = 0;
    this.#openedAt = Date.now();
    const socket = new WebSocket(address);
    this.#socket = socket;
    // A socket that was replaced may still deliver: what it says counts no more.
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(data);
    socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** @param {number} code */
  #lost(code) {
    this.#socket = null;
    const neverReady = !this.#readyAt;
    if (this.#readyAt && Date.now() - this.#readyAt >= STEADY_MS) this.#attempts = 0;
    if (code === MALFORMED) {
      this.cursor.at = this.#since = null;
      this.#beginsAnew = true;
    }
    const refused = REFUSED[code];
    if (refused) this.#setState("refused", refused);
    else if (this.state !== "connecting" && this.state !== "refused") this.#setState("reconnecting");
    this.#retryLater();
    // A door that is shut (403) looks from here like a server that is gone.
    if (!refused && neverReady && this.#attempts > 1) void this.#askWhy();
  }

  #retryLater() {
    // Full jitter: a thousand tabs that lost one server come back spread out. Even a delay near zero does
    // no harm, since the ceiling doubles with each attempt.
    const most = this.state === "refused" ? REFUSED_MAX_MS : BACKOFF_MAX_MS;
    const ceiling = Math.min(most, BACKOFF_MIN_MS * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 16);
    this.#retryTimer = setTimeout(() => this.#open(), Math.random() * ceiling);
  }

  async #askWhy() {
    const before = this.#openedAt;
    let forbidden = false;
    try {
      const address = new URL("health", this.base);
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) });
      if (!answer.ok && answer.status !== 403) return;
      forbidden = answer.status === 403;
    } catch {
      // It is gone, then, and no longer refuses.
    }
    if (before !== this.#openedAt || this.#socket) return; // an answer to an older question
    if (forbidden) this.#setState("refused", "forbidden");
    else if (this.state === "refused") this.#setState("reconnecting");
  }

  /** @param {unknown} data */
  #receive(data) {
    this.lastHeard = Date.now();
    /** @type {Message} */
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      return;
    }
    if (typeof message?.type !== "string") return;
    const verdict = this.cursor.take(message);
    if (verdict === "hole") {
      this.#drop(); // with the back-off: should a server only ever tell holes, nobody must spin
      this.#lost(1006);
    }
    if (verdict !== "new") return;
    if (message.type === "resync") this.#beginsAnew = false;
    if (message.type !== "ready") {
      this.sink.onMessage(message, !this.#readyAt);
      return;
    }
    this.#readyAt = Date.now();
    this.#since = null;
    if (this.#beginsAnew) {
      this.#beginsAnew = false;
      const { epoch, offset } = message;
      this.sink.onMessage({ type: "resync", reason: "malformed", epoch, offset }, true);
    }
    this.#setState("live");
    this.sink.onMessage(message, false);
  }

  /** @param {State} state @param {Reason | null} [reason] */
  #setState(state, reason = null) {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.sink.onState(state, reason);
  }

  #tick() {
    const now = Date.now();
    const slept = now - this.#tickedAt > WAKE_SILENCE_MS;
    this.#tickedAt = now;
    if (slept) this.wake();
    else if (this.#socket && this.#silentFor(SILENCE_MS)) this.reconnect();
    else if (this.#socket?.readyState === WebSocket.CONNECTING && now - this.#openedAt > OPEN_TIMEOUT_MS) {
      this.#drop();
      this.#lost(1006);
    }
  }

  /** A clock that was set back counts as silence: one reconnect too many does no harm.
   * @param {number} ms */
  #silentFor(ms) {
    const silence = Date.now() - Math.max(this.lastHeard, this.#openedAt);
    return silence > ms || silence < -1_000;
  }
}
