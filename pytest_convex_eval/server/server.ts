/**
 * The embedded deployment. Takes the official binary's flags (those that it does not need are ignored),
 * prints one line of JSON when it is ready, and ends with its stdin.
 *
 *     node server.ts --port 0 --site-proxy-port 0 [--interface A] [--instance-name N --instance-secret HEX]
 *       [--convex-origin U --convex-site U] [--local-storage DIR] [DB.sqlite3]
 *     node server.ts keygen admin-key --instance-name N --instance-secret HEX
 *
 * Flags of its own: `--data DIR` keeps everything in a folder, the instance's name and secret among it; `--admin-key
 * KEY` is used instead of one that follows from the secret; `--cache DIR` is where what is made of this code is kept; `--online` lets actions reach the network. What keeps it from starting is a line of JSON too:
 * `{"error": {"code": ..., "message": ...}}`.
 */

import { randomBytes } from "node:crypto";
import path from "node:path";
import { parseArgs } from "node:util";

import { adminKey } from "./admin_key.ts";
import { Isolates } from "./isolates/isolate.ts";
import { Programs } from "./isolates/programs.ts";
import { Deployment } from "./deployment.ts";
import { listener } from "./http/http.ts";
import { Packages } from "./push/packages.ts";
import { mainRoutes, siteRoutes } from "./http/routes.ts";
import { Hub } from "./sync/hub.ts";
import type { Server } from "node:http";
import type { Handler } from "./http/http.ts";
import type { Journal, SavedInstance } from "./persistence/journal.ts";

/** Not imported: that reads its `WebSocket` too, and so loads all of fetch, a sixth of what this server takes to start. */
const http = process.getBuiltinModule("node:http");
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
    data: { type: "string" },
    cache: { type: "string" },
    "admin-key": { type: "string" },
    online: { type: "boolean", default: false },
  },
});
if (flags["instance-name"] === undefined && flags["instance-secret"] !== undefined) {
  throw new Error("--instance-secret must be given with --instance-name");
}
if ((flags["convex-origin"] === undefined) !== (flags["convex-site"] === undefined)) {
  throw new Error("--convex-origin and --convex-site must be given together");
}
if (positionals[0] === "keygen") {
  const { name, secret } = chooseInstance(null);
  console.log(adminKey(name, secret));
} else {
  try {
    await serve();
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: failure(error) })}\n`, () => process.exit(2));
  }
}

/** @param saved what the data is of */
function chooseInstance(saved: SavedInstance | null): SavedInstance {
  return {
    // A name of its own, so that a client can tell this server from another that took over its port.
    name: flags["instance-name"] ?? saved?.name ?? `convex-eval-${randomBytes(8).toString("hex")}`,
    secret: flags["instance-secret"] ?? saved?.secret ?? randomBytes(32).toString("hex"),
  };
}

async function serve() {
  const journal = flags.data === undefined ? null : await openJournal(flags.data);
  const { name, secret } = chooseInstance(journal?.instance() ?? null);
  const key = flags["admin-key"] ?? adminKey(name, secret);
  journal?.useInstance({ name, secret });
  const isolates = new Isolates(new Programs(flags.cache ?? null));
  const urls = { cloud: flags["convex-origin"] ?? "", site: flags["convex-site"] ?? "" };
  const deployment = new Deployment(isolates, urls, { name, secret });
  if (flags.online)
    deployment.services.goOnline(
      new Packages(flags.data === undefined ? null : path.join(flags.data, "packages")),
    );
  process.on("exit", () => deployment.close());
  let isEnding = false;
  const end = async () => {
    if (isEnding || journal === null) process.exit(0);
    isEnding = true;
    // Nothing runs any more, and so nothing is written after what is closed.
    deployment.close();
    await journal.store.close();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, end);
  process.stdin.on("end", end).on("error", end).resume();
  if (journal !== null) await deployment.keep(journal);
  const instance = { name, adminKey: key };
  const hub = new Hub(deployment, instance);
  if (journal !== null) hub.restore(journal.answers());
  const main = await listen(mainRoutes(deployment, instance), Number(flags.port), hub);
  const site = await listen(siteRoutes(deployment, instance), Number(flags["site-proxy-port"]));
  urls.cloud ||= `http://127.0.0.1:${main}`;
  urls.site ||= `http://127.0.0.1:${site}`;
  deployment.services.scheduler.resume();
  const ready = {
    url: `http://127.0.0.1:${main}`,
    site_url: `http://127.0.0.1:${site}`,
    instance_name: name,
    admin_key: key,
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

/** SQLite is loaded where it is used. */
async function openJournal(folder: string): Promise<Journal> {
  const [{ Journal }, { Store }] = await Promise.all([
    import("./persistence/journal.ts"),
    import("./persistence/store.ts"),
  ]);
  return new Journal(new Store(folder));
}

/** What keeps the server from starting, for a program that started it. */
function failure(error: unknown) {
  if (!(error instanceof Error)) return { code: "failed", message: String(error) };
  if ("code" in error && error.code === "EADDRINUSE") {
    const port = "port" in error ? error.port : null;
    return { code: "port-in-use", message: `port ${port} is in use`, port };
  }
  if (error.name === "StoreError") return { code: "data", message: error.message };
  return { code: "failed", message: error.stack ?? error.message };
}

/**
 * Serves on the loopback addresses, on one port; on IPv4 alone where there is no IPv6.
 * @param port 0: any that is free
 * @param hub of the clients that want a WebSocket
 * @returns the port
 */
async function listen(handle: Handler, port: number, hub?: Hub): Promise<number> {
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

function bind(server: Server, port: number, address: string): Promise<number | null> {
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
