// The commands on stdin that every server here takes, for those in JavaScript; limit.c describes them.
"use strict";

let sequence = 0;

function newEvent(stampNs, pad) {
  sequence++;
  return JSON.stringify({
    t: stampNs.toString(16).padStart(16, "0"),
    s: sequence.toString(16).padStart(8, "0"),
    type: "entry_updated",
    entry_id: "2026-11-22-some-note-title-" + String(sequence).padStart(6, "0"),
    kb_name: "main",
    path: "notes/some-note.md" + "0".repeat(pad),
  });
}

const now = () => process.hrtime.bigint(); // CLOCK_MONOTONIC
const sleep = (us) => new Promise((resolve) => setTimeout(resolve, us / 1000));

exports.say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

// Takes a function that tells all tabs a text.
exports.takeCommands = (tell) => {
  const commands = {
    async single(count, gapUs, pad) {
      for (let number = 0; number < count; number++) {
        tell(newEvent(now(), pad));
        await sleep(gapUs);
      }
    },
    async storm(count, pad) {
      const stampNs = now();
      for (let number = 0; number < count; number++) tell(newEvent(stampNs, pad));
    },
  };
  const lines = require("node:readline").createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const [name, ...numbers] = line.split(" ");
    // In a turn of its own, as a timer or a file watcher has it.
    setImmediate(async () => {
      await commands[name](...numbers.map(Number));
      exports.say({ done: Number(numbers[0]) });
    });
  });
  lines.on("close", () => process.exit(0));
};
