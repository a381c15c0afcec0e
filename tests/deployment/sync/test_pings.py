"""Silent connections are pinged, by the server's clock."""

from __future__ import annotations

from tests.deployment.server_modules import InServer

PINGED = """
const { Hub } = await load("sync/hub");
const { Duplex } = await import("node:stream");
const real = globalThis.setInterval;
const intervals = [];
globalThis.setInterval = (work, ms) => {
  intervals.push({ work, ms });
  return { unref() {} };
};
try {
  const made = deploy();
  const hub = new Hub(made, null);
  const pings = intervals.splice(0);
  const sent = [];
  const stream = new Duplex({ read() {}, write(chunk, _, done) { sent.push(chunk); done(); } });
  stream.setNoDelay = () => {};
  const headers = { upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "k" };
  const socket = { remoteAddress: "::1" };
  hub.connect({ url: "/api/1.48.0/sync", method: "GET", headers, socket }, stream, Buffer.alloc(0));
  const head = Buffer.concat(sent.splice(0)).toString();
  for (const { work } of pings) work();
  const whole = Buffer.concat(sent.splice(0));
  return { head: head.split("\\r\\n")[0], seconds: pings.map(({ ms }) => ms / 1000),
    // Without the frame's own two bytes.
    told: whole.subarray(2).toString() };
} finally {
  globalThis.setInterval = real;
}
"""


def test_a_silent_connection_is_pinged_every_quarter_of_a_minute(in_server: InServer) -> None:
    assert in_server(PINGED) == {
        "head": "HTTP/1.1 101 Switching Protocols",
        "seconds": [15],
        "told": '{"type":"Ping"}',
    }
