// @ts-check
// Where a reader stands in the event log, and what the next message means for that.
//
// Pure. It must not know where messages come from: a socket and a worker's port are judged alike.

/** @typedef {{epoch: string, offset: number}} Position */
/** @typedef {{type: string, [field: string]: any}} Message */

/** @param {string | null | undefined} text @returns {Position | null} */
export function parsePosition(text) {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d{1,15})$/.exec(text ?? "");
  return match && { epoch: match[1], offset: Number(match[2]) };
}

/** @param {Position | null} position */
export const shownPosition = (position) => position && `${position.epoch}:${position.offset}`;

/** Whether it is an event of the log, as opposed to a word about the connection or of somebody else.
 * @param {Message} message */
export const isEvent = (message) => typeof message.epoch === "string" && "kb_name" in message;

/** A cursor into the log. Unfiltered and live, offsets are dense: anything else is a hole. */
export class Cursor {
  /** @param {Position | null} at @param {boolean} filtered */
  constructor(at, filtered) {
    this.at = at;
    this.filtered = filtered;
    /** The replay is not through: a compacted log has fewer events, so a step is no hole. */
    this.joining = true;
  }

  /**
   * Judge the next message, and move on where it is "new".
   *
   * "hole": something between this message and the cursor was not told; the cursor stays, so that one can
   * reconnect from there.
   * @param {Message} message @returns {"new" | "repeat" | "hole"}
   */
  take(message) {
    const { type, epoch, offset } = message;
    if (type === "ready" || type === "resync") {
      this.joining = type === "resync" ? this.joining : false;
      this.at = { epoch, offset };
      return "new";
    }
    if (type === "heartbeat") {
      if (!this.at || this.joining) return "new";
      if (epoch !== this.at.epoch) return "hole";
      if (offset > this.at.offset && !this.filtered) return "hole";
      this.at = { epoch, offset: Math.max(offset, this.at.offset) };
      return "new";
    }
    if (!isEvent(message)) return "new";
    if (this.at) {
      if (epoch !== this.at.epoch) return "hole";
      if (offset <= this.at.offset) return "repeat";
      if (offset !== this.at.offset + 1 && !this.filtered && !this.joining) return "hole";
    }
    this.at = { epoch, offset };
    return "new";
  }
}
