// uWebSockets.js: C++ below, with a publish of its own.
"use strict";

const uws = require("uwebsockets");
const { say, takeCommands } = require("./control.js");

const app = uws.App().ws("/*", {
  compression: uws.DISABLED,
  maxBackpressure: 64 * 1024 * 1024, // else it leaves out what a tab has no room for
  idleTimeout: 960,
  sendPingsAutomatically: false,
  open: (ws) => ws.subscribe("events"),
});

app.listen("127.0.0.1", 0, (listening) => {
  if (!listening) throw new Error("it does not listen");
  say({ port: uws.us_socket_local_port(listening) });
});

// Not from within an HTTP handler: it would cork, and be slower than it is.
takeCommands((text) => app.publish("events", text, false));
