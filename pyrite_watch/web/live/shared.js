// @ts-check
// A tab's side of the one socket that all tabs of a browser share: the port to the worker that holds it.
//
// It keeps the tab's own position and judges by it what the worker says, so a worker that dies, or is
// replaced, costs neither a gap nor a repeat. Who lives is told by Web Locks, which end with their holder:
// the tab holds one that the worker waits for, and the other way round.

import { shownPosition } from "./position.js";
import { VERSION } from "./version.js";

/** @typedef {import("./feed.js").State} State */
/** @typedef {import("./feed.js").Reason} Reason */
/** @typedef {import("./feed.js").Sink} Sink */
/** @typedef {import("./position.js").Message} Message */
/**
 * What a tab says to the worker.
 * @typedef {{say: "hello", version: string, since: string | null, kbs: readonly string[], lock: string | null}
 *   | {say: "pong", sent: number} | {say: "wake" | "reconnect" | "bye"}} FromTab
 */
/**
 * What the worker says to a tab; of each message also whether it is replayed.
 * @typedef {{say: "welcome", lock: string | null} | {say: "other version"} | {say: "ping", sent: number}
 *   | {say: "messages", messages: [Message, boolean][]}
 *   | {say: "state", state: State, reason: Reason | null, heard: number}} FromWorker
 */

const WELCOME_TIMEOUT_MS = 10_000;
const SILENCE_MS = 35_000; // the worker says something every 15 s
const TICK_MS = 5_000;

export class SharedFeed {
  /** @type {State} */
  state = "connecting";
  /** @type {Reason | null} */
  reason = null;
  lastHeard = 0;
  /** @type {MessagePort | null} */
  #port = null;
  #welcomed = false;
  #startedAt = 0;
  #heardWorker = 0;
  /** @type {AbortController} */
  #life = new AbortController();
  /** @type {ReturnType<typeof setInterval>} */
  #ticker;

  /**
   * @param {string} script the worker's address (a TrustedScriptURL where one is demanded)
   * @param {string | null} since
   * @param {import("./position.js").Cursor} cursor
   * @param {readonly string[]} kbs
   * @param {Sink} sink
   * @param {() => void} onFail there is no worker to be had: take a socket of your own
   */
  constructor(script, since, cursor, kbs, sink, onFail) {
    this.script = script;
    this.since = since;
    this.cursor = cursor;
    this.kbs = kbs;
    this.sink = sink;
    this.onFail = onFail;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#start();
  }

  wake() {
    this.#tick();
    this.#say({ say: "wake" });
  }

  reconnect() {
    this.#say({ say: "reconnect" });
  }

  close() {
    clearInterval(this.#ticker);
    this.#leave();
    this.state = "closed";
    this.sink.onState("closed", null);
  }

  #start() {
    const life = (this.#life = new AbortController());
    this.#welcomed = false;
    this.#startedAt = this.#heardWorker = Date.now();
    this.cursor.joining = true;
    let worker;
    try {
      worker = new SharedWorker(this.script, { type: "module", name: "pyrite-live" });
    } catch {
      queueMicrotask(() => this.#fail(life)); // not inside the constructor
      return;
    }
    worker.onerror = () => this.#welcomed || this.#fail(life);
    const port = (this.#port = worker.port);
    port.onmessage = ({ data }) => this.#port === port && this.#receive(data);
    void this.#holdLock(life.signal).then((lock) => {
      if (life.signal.aborted) return;
      const since = shownPosition(this.cursor.at) ?? this.since;
      this.#say({ say: "hello", version: VERSION, since, kbs: this.kbs, lock });
    });
  }

  /** Hold a lock for as long as this tab is with the worker; null where there are no Web Locks.
   * @param {AbortSignal} signal @returns {Promise<string | null>} */
  #holdLock(signal) {
    if (!navigator.locks) return Promise.resolve(null); // not on https, nor on this machine
    const name = `pyrite-live-tab-${Date.now()}-${Math.random()}`;
    return new Promise((resolve) => {
      const held = () => {
        resolve(name);
        return new Promise((release) => signal.addEventListener("abort", release));
      };
      navigator.locks.request(name, { signal }, held).catch(() => resolve(null));
    });
  }

  #leave() {
    this.#say({ say: "bye" });
    this.#life.abort();
    this.#port?.close();
    this.#port = null;
  }

  #restart() {
    this.#leave();
    if (this.state === "live") this.#setState("reconnecting", null);
    this.#start();
  }

  /** @param {AbortController} life */
  #fail(life) {
    if (life.signal.aborted) return;
    clearInterval(this.#ticker);
    this.#leave();
    this.onFail();
  }

  /** @param {FromTab} words */
  #say(words) {
    this.#port?.postMessage(words);
  }

  /** @param {FromWorker} words */
  #receive(words) {
    this.#heardWorker = Date.now();
    switch (words.say) {
      case "welcome":
        this.#welcomed = true;
        this.#watch(words.lock, this.#life.signal);
        break;
      case "other version":
        this.#fail(this.#life);
        break;
      case "ping":
        this.#say({ say: "pong", sent: words.sent });
        break;
      case "state":
        this.lastHeard = Math.max(this.lastHeard, words.heard);
        this.#setState(words.state, words.reason);
        break;
      case "messages":
        this.#take(words.messages);
    }
  }

  /** @param {[Message, boolean][]} messages */
  #take(messages) {
    this.lastHeard = Date.now();
    const port = this.#port;
    for (const [message, replayed] of messages) {
      if (this.#port !== port) return undefined; // a listener has closed it: not told
      this.cursor.joining = replayed;
      const verdict = this.cursor.take(message);
      if (verdict === "hole") return this.#restart();
      if (verdict === "new") this.sink.onMessage(message, replayed);
    }
    return undefined;
  }

  /** Start again when the worker has died. @param {string | null} lock @param {AbortSignal} signal */
  #watch(lock, signal) {
    if (lock === null || !navigator.locks) return;
    navigator.locks
      .request(lock, { signal }, () => {
        if (!signal.aborted) this.#restart();
      })
      .catch(() => {}); // aborted: this tab has left
  }

  /** @param {State} state @param {Reason | null} reason */
  #setState(state, reason) {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.sink.onState(state, reason);
  }

  #tick() {
    const now = Date.now();
    if (!this.#welcomed && now - this.#startedAt > WELCOME_TIMEOUT_MS) this.#fail(this.#life);
    else if (Math.abs(now - this.#heardWorker) > SILENCE_MS) this.#restart();
  }
}
