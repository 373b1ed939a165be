// @ts-check
// The SharedWorker that holds the one socket of all tabs of a browser.
//
// Invariants:
// 1. The socket is unfiltered, and the ring holds what it told, without a hole, from `ring.start` on.
// 2. An attached tab has got everything of its knowledge bases up to `tab.at`, or it waits to be sent within
//    a tenth of a second; and that is never behind the ring's end. So what comes next follows as it comes.
// 3. Any other tab is brought to where the ring can go on by a socket of its own, for as long as that takes:
//    the server judges its position, and whether its knowledge bases exist.
// A tab that does not take what it is sent holds nobody up: it gets no more, and joins again when it does.

import { Feed } from "./live/feed.js";
import { Cursor, isEvent, parsePosition } from "./live/position.js";
import { VERSION } from "./live/version.js";

/** @typedef {import("./live/position.js").Message} Message */
/** @typedef {import("./live/position.js").Position} Position */
/** @typedef {import("./live/shared.js").FromTab} FromTab */
/** @typedef {import("./live/shared.js").FromWorker} FromWorker */

const RING_EVENTS = 8_192; // up to twice as many, * 400 B = 6 MiB; a checkout of 4,000 files is no lag
const MAX_UNTAKEN = 8_192;
const PING_EVERY = 512; // so many messages: then it is asked how far it is
const PING_MS = 15_000;
const BATCH_MS = 16; // what comes so soon after another goes along with what follows: a message costs a tab a task
const BATCH_MAX_MS = 100; // in a storm: nobody reads along
const MAX_BATCH = 64; // a tab takes them in one task, and a frame is drawn between two
const GONE_MS = 60_000; // only where there are no Web Locks: four pings without an answer

const base = new URL("../", import.meta.url);

class Ring {
  /** @type {Message[]} */
  #events = [];

  /** @param {Position} at */
  constructor({ epoch, offset }) {
    this.epoch = epoch;
    this.start = this.end = offset;
  }

  /** @param {Message} event */
  push(event) {
    this.#events.push(event);
    this.end = event.offset;
    // Rarely and many at once: taking one from the front costs as much.
    if (this.#events.length < 2 * RING_EVENTS) return;
    const dropped = this.#events.splice(0, RING_EVENTS);
    this.start = dropped[dropped.length - 1].offset;
  }

  /** @param {number} offset */
  after(offset) {
    return this.#events.filter((event) => event.offset > offset);
  }
}

/** @type {Feed | null} */
let feed = null;
/** @type {Ring | null} */
let ring = null;
let serverVersion = "";
/** @type {Set<Tab>} */
const tabs = new Set();

class Tab {
  attached = false;
  judged = false; // the server has said, since the socket is up, that `at` is a position
  lagging = false;
  gone = false;
  compacted = false;
  replayed = 0;
  sent = 0;
  taken = 0;
  heard = Date.now();
  /** @type {Feed | null} */
  catching = null;
  watching = new AbortController();
  /** @type {[Message, boolean][]} */
  waiting = [];
  batching = false;

  /** @param {MessagePort} port @param {Extract<FromTab, {say: "hello"}>} hello */
  constructor(port, { since, kbs, lock }) {
    this.port = port;
    this.since = since;
    this.at = parsePosition(since);
    this.kbs = new Set(kbs);
    this.lock = lock;
  }

  /** @param {FromWorker} words */
  say(words) {
    this.send(); // in order
    this.port.postMessage(words);
  }

  send() {
    const sent = this.waiting.length;
    while (this.waiting.length) this.port.postMessage({ say: "messages", messages: this.waiting.splice(0, MAX_BATCH) });
    return sent;
  }

  /** Send the first of a while at once, then what has come together, the rarer the more it is. */
  sendSoon() {
    if (this.batching) return;
    const sent = this.send();
    if (!sent) return;
    this.batching = true;
    const wait = Math.min(BATCH_MAX_MS, BATCH_MS * Math.max(1, sent / 4));
    setTimeout(() => {
      this.batching = false;
      this.sendSoon();
    }, wait);
  }

  sayState() {
    const of = this.catching?.state === "refused" ? this.catching : feed;
    if (!of) return;
    const joining = of.state === "live" && !this.attached;
    const state = joining ? "reconnecting" : of.state;
    this.say({ say: "state", state, reason: of.reason, heard: feed?.lastHeard ?? 0 });
  }

  /** @param {Message} message @param {boolean} replayed */
  tell(message, replayed) {
    this.sent += 1;
    this.waiting.push([message, replayed]);
    this.sendSoon();
    if (this.sent % PING_EVERY === 0) this.ping();
    if (this.attached && this.sent - this.taken > MAX_UNTAKEN) {
      this.attached = false;
      this.lagging = true;
      this.ping();
    }
  }

  ping() {
    this.say({ say: "ping", sent: this.sent });
  }

  /** @param {boolean} compacted */
  ready(compacted) {
    const counts = { replayed: this.replayed, compacted: compacted || this.compacted };
    this.tell({ type: "ready", .../** @type {Position} */ (this.at), ...counts, server_version: serverVersion }, false);
    this.replayed = 0;
    this.compacted = false;
  }

  /** Tell an event that lies behind where the tab is. @param {Message} event @param {boolean} replayed */
  follow(event, replayed) {
    if (this.at && this.at.epoch === event.epoch && event.offset <= this.at.offset) return;
    this.at = { epoch: event.epoch, offset: event.offset };
    if (this.kbs.size && !this.kbs.has(event.kb_name)) return;
    if (replayed) this.replayed += 1;
    this.tell(event, replayed);
  }

  detach() {
    this.attached = this.judged = false;
    this.catching?.close();
    this.catching = null;
  }
}

/** Bring a tab to where the ring goes on, and attach it there. @param {Tab} tab */
function join(tab) {
  if (tab.attached || tab.lagging || tab.gone || tab.catching || feed?.state !== "live" || !ring) return;
  if (!tab.since && !tab.at && !tab.kbs.size) tab.at = { epoch: ring.epoch, offset: ring.end };
  const { at } = tab;
  const inRing = at?.epoch === ring.epoch && at.offset >= ring.start;
  // A position ahead of the ring may be one that only HTTP has told so far, or of a past that is void.
  if (!at || !inRing || !(tab.judged || (at.offset <= ring.end && !tab.kbs.size))) {
    catchUp(tab);
    return;
  }
  for (const event of ring.after(at.offset)) tab.follow(event, true);
  tab.attached = true;
  tab.sayState();
  tab.ready(false);
}

/** @param {Tab} tab */
function catchUp(tab) {
  const kbs = [...tab.kbs];
  tab.catching = new Feed(base, tab.since, new Cursor(tab.at, kbs.length > 0), kbs, {
    onMessage(message) {
      if (message.type === "heartbeat") return;
      if (isEvent(message)) {
        tab.follow(message, true);
      } else if (message.type === "resync") {
        tab.at = { epoch: message.epoch, offset: message.offset };
        tab.tell(message, true);
      } else if (message.type === "ready") {
        tab.catching?.close();
        tab.catching = null;
        tab.since = null;
        tab.at = { epoch: message.epoch, offset: message.offset };
        tab.judged = true;
        tab.compacted ||= message.compacted;
        // The log is another by now, and the one socket does not know it yet.
        if (ring && ring.epoch !== message.epoch) feed?.reconnect();
        join(tab);
      }
    },
    onState(state) {
      if (state !== "live" && state !== "closed") tab.sayState();
    },
  });
}

/** @param {Message} message @param {boolean} replayed */
function onMessage(message, replayed) {
  const { type, epoch, offset } = message;
  if (type === "ready") {
    serverVersion = message.server_version;
    ring ??= new Ring({ epoch, offset });
    for (const tab of tabs) {
      if (!tab.attached) join(tab);
      else tab.ready(message.compacted);
    }
    return;
  }
  if (type === "resync") ring = new Ring({ epoch, offset });
  else if (isEvent(message)) ring?.push(message);
  for (const tab of tabs) {
    if (!tab.attached) continue;
    if (type === "resync") {
      // One that heard of the new log before the socket did has been told already.
      if (tab.at?.epoch === epoch) continue;
      tab.at = { epoch, offset };
      tab.tell(message, replayed);
    } else if (type === "heartbeat") {
      if (offset >= (tab.at?.offset ?? 0)) tab.tell(message, false);
    } else if (isEvent(message)) {
      tab.follow(message, replayed);
    } else tab.tell(message, replayed);
  }
}

function onState() {
  for (const tab of tabs) {
    // A knowledge base may be gone when the server is back: a filtered tab asks anew.
    if (feed?.state !== "live" && (tab.kbs.size || !tab.attached)) tab.detach();
    tab.sayState();
  }
}

/** @param {Tab} tab */
function enter(tab) {
  tabs.add(tab);
  tab.gone = false;
  if (feed) feed.wake(); // it may have brought the token that was missing
  else feed = new Feed(base, null, new Cursor(null, false), [], { onMessage, onState });
  tab.sayState();
  join(tab);
}

/** @param {Tab} tab */
function drop(tab) {
  tab.gone = true;
  tab.watching.abort();
  tab.detach();
  tabs.delete(tab);
  if (tabs.size) return;
  const last = feed;
  feed = ring = null;
  last?.close();
}

// A worker of its own name each time: a tab that waits for this lock waits for this worker's end.
const ownLock = navigator.locks ? `pyrite-live-worker-${Date.now()}-${Math.random()}` : null;
const lockHeld = new Promise((resolve) => {
  if (ownLock === null) return resolve(undefined);
  return navigator.locks.request(ownLock, () => {
    resolve(undefined);
    return new Promise(() => {});
  });
});

/** @param {MessagePort} port */
function attend(port) {
  /** @type {Tab | null} */
  let tab = null;
  port.onmessage = ({ data }) => {
    /** @type {FromTab} */
    const words = data;
    if (words.say === "hello") {
      if (words.version !== VERSION) return port.postMessage({ say: "other version" });
      const entered = (tab = new Tab(port, words));
      if (entered.lock !== null) {
        navigator.locks
          .request(entered.lock, { signal: entered.watching.signal }, () => drop(entered))
          .catch(() => {}); // it left by itself
      }
      return lockHeld.then(() => {
        if (entered.gone) return; // it has left, or died, meanwhile
        entered.say({ say: "welcome", lock: ownLock });
        enter(entered);
      });
    }
    if (!tab) return undefined;
    tab.heard = Date.now();
    if (words.say === "bye") return drop(tab);
    if (tab.gone && tab.lock === null) {
      // It was only very slow. It joins again when it has taken what it was sent.
      tab.lagging = true;
      enter(tab);
      tab.ping();
    }
    if (words.say === "wake") {
      feed?.wake();
      tab.catching?.wake();
    } else if (words.say === "reconnect") feed?.reconnect();
    else if (words.say === "pong") {
      tab.taken = words.sent;
      if (tab.lagging && tab.taken === tab.sent) {
        tab.lagging = false;
        join(tab);
      }
    }
    return undefined;
  };
}

setInterval(() => {
  for (const tab of [...tabs]) {
    if (tab.lock === null && Date.now() - tab.heard > GONE_MS) drop(tab);
    else tab.ping();
  }
}, PING_MS);
addEventListener("online", () => feed?.wake());
Object.assign(globalThis, {
  /** @param {MessageEvent} event */
  onconnect: ({ ports: [port] }) => attend(port),
});
