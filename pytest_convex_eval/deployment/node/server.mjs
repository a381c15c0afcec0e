/**
 * The embedded deployment. Takes the official binary's flags (those that it does not need are ignored),
 * prints one line of JSON when it is ready, and ends with its stdin.
 *
 *     node server.mjs --port 0 --site-proxy-port 0 [--interface A] [--instance-name N --instance-secret HEX]
 *       [--convex-origin U --convex-site U] [--local-storage DIR] [DB.sqlite3]
 *     node server.mjs keygen admin-key --instance-name N --instance-secret HEX
 *
 * @import { Handler } from "./http.mjs"
 */

import { randomBytes } from "node:crypto";
import http from "node:http";
import { parseArgs } from "node:util";

import { adminKey } from "./admin_key.mjs";
import { Isolates } from "./analysis/isolate.mjs";
import { Deployment } from "./deployment.mjs";
import { listener } from "./http.mjs";
import { mainRoutes, siteRoutes } from "./routes.mjs";
import { Hub } from "./sync/hub.mjs";

/** Attempts to find a port that is free on both loopback addresses. */
const PORT_ATTEMPTS = 20;
const LOOPBACK = ["127.0.0.1", "::1"];

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    interface: { type: "string" },
    port: { type: "string", default: "3210" },
    "site-proxy-port": { type: "string", default: "3211" },
    "instance-name": { type: "string" },
    "instance-secret": { type: "string" },
    "convex-origin": { type: "string" },
    "convex-site": { type: "string" },
    "local-storage": { type: "string" },
    "convex-http-proxy": { type: "string" },
    "disable-beacon": { type: "boolean" },
    "redact-logs-to-client": { type: "boolean" },
  },
});
if ((flags["instance-name"] === undefined) !== (flags["instance-secret"] === undefined)) {
  throw new Error("--instance-name and --instance-secret must be given together");
}
if ((flags["convex-origin"] === undefined) !== (flags["convex-site"] === undefined)) {
  throw new Error("--convex-origin and --convex-site must be given together");
}
// A name of its own, so that a client can tell this server from another that took over its port.
const name = flags["instance-name"] ?? `convex-eval-${randomBytes(8).toString("hex")}`;
const key = adminKey(name, flags["instance-secret"] ?? randomBytes(32).toString("hex"));

if (positionals[0] === "keygen") console.log(key);
else await serve();

async function serve() {
  const isolates = new Isolates();
  for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGHUP"])) process.on(signal, () => process.exit(0));
  process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();

  const urls = { cloud: flags["convex-origin"] ?? "", site: flags["convex-site"] ?? "" };
  const deployment = new Deployment(isolates, urls, name);
  process.on("exit", () => deployment.close());
  const instance = { name, adminKey: key };
  const hub = new Hub(deployment, instance);
  const main = await listen(mainRoutes(deployment, instance), Number(flags.port), hub);
  const site = await listen(siteRoutes(deployment, instance), Number(flags["site-proxy-port"]));
  urls.cloud ||= `http://127.0.0.1:${main}`;
  urls.site ||= `http://127.0.0.1:${site}`;
  const ready = { url: `http://127.0.0.1:${main}`, site_url: `http://127.0.0.1:${site}`, instance_name: name, admin_key: key };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

/**
 * Serves on the loopback addresses, on one port; on IPv4 alone where there is no IPv6.
 * @param {Handler} handle @param {number} port 0: any that is free
 * @param {Hub} [hub] of the clients that want a WebSocket
 * @returns {Promise<number>} the port
 */
async function listen(handle, port, hub) {
  const addresses = flags.interface === undefined ? LOOPBACK : [flags.interface];
  for (let attempt = 1; ; attempt++) {
    const servers = [];
    let bound = port;
    try {
      for (const address of addresses) {
        const server = http.createServer({ keepAliveTimeout: 30_000 }, listener(handle));
        if (hub !== undefined) server.on("upgrade", (...upgrade) => hub.connect(...upgrade));
        const taken = await bind(server, bound, address);
        if (taken === null) continue;
        servers.push(server);
        bound = taken;
      }
      return bound;
    } catch (error) {
      for (const server of servers) server.close();
      const inUse = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
      if (!inUse || port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/** @param {http.Server} server @param {number} port @param {string} address @returns {Promise<number | null>} */
function bind(server, port, address) {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const code = "code" in error ? error.code : "";
      const noIpv6 = address.includes(":") && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT");
      if (noIpv6) resolve(null);
      else reject(error);
    });
    server.listen(port, address, () => {
      const bound = server.address();
      resolve(bound !== null && typeof bound === "object" ? bound.port : port);
    });
  });
}
