// Node's `ws`, as its documentation broadcasts: a loop over the clients.
"use strict";

const { WebSocketServer, WebSocket } = require("ws");
const { say, takeCommands } = require("./control.js");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 2048, perMessageDeflate: false }, () =>
  say({ port: server.address().port }),
);

takeCommands((text) => {
  for (const client of server.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(text);
  }
});
