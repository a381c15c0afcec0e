/**
 * Node's builtins as "use node" modules get them while they are imported.
 *
 * Code that is only imported needs few of them for real. The process around it has no right to read,
 * write, or start anything (Node's permission model), but that model leaves the network open (Node 24):
 * sockets are closed off here. What could reach around this module (`process`, `module`,
 * `worker_threads`) is shown in a form that doesn't.
 */

import dgram from "node:dgram";
import { builtinModules, isBuiltin } from "node:module";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { process as realProcess } from "./own_node.ts";

function noNetwork(): never {
  throw new Error("The network is unavailable to pushed code");
}

function noProcesses(): never {
  throw new Error("Processes and threads are unavailable to pushed code");
}

/** Whether sockets are pushed code's own business: a deployment that was started to be online. */
const IS_OPEN = realProcess.argv.includes("--open");

/** From now on no socket can be opened: neither by a builtin nor by a global (`WebSocket`) that is made of one. */
export function closeNetwork() {
  if (IS_OPEN) return;
  net.Socket.prototype.connect = noNetwork;
  net.Server.prototype.listen = noNetwork;
  dgram.createSocket = noNetwork;
}

/** Packages that bundles leave out, where there are any: the folder that the server has installed them in. */
const PACKAGES = realProcess.argv
  .find((each) => each.startsWith("--packages="))
  ?.slice("--packages=".length);

/**
 * The exports of a builtin or of an external package, `default` among them.
 * @param specifier a builtin's with or without `node:`
 * @throws Error when there is neither: all other packages are bundled.
 */
export async function builtin(specifier: string): Promise<object> {
  if (!isBuiltin(specifier)) {
    if (PACKAGES === undefined) throw new Error(`Cannot find package '${specifier}'`);
    closeNetwork();
    const { default: load } = await import(pathToFileURL(path.join(PACKAGES, "load.mjs")).href);
    return await load(specifier);
  }
  const name = specifier.replace(/^node:/, "");
  const shown = facades[name];
  if (shown !== undefined) {
    const value = shown();
    return { ...value, default: value };
  }
  closeNetwork();
  return await import(`node:${name}`);
}

const facades: Record<string, () => Record<string, unknown>> = {
  process: shownProcess,
  worker_threads: () => ({
    isMainThread: true,
    parentPort: null,
    workerData: null,
    Worker: noProcesses,
  }),
  module: () => ({ builtinModules, isBuiltin, createRequire: () => requireBuiltin }),
  inspector: () => ({}),
  "inspector/promises": () => ({}),
  cluster: () => ({ isMaster: true, isPrimary: true, fork: noProcesses }),
};

/** `require` of builtins: all else is bundled, or an external package, which is imported. */
function requireBuiltin(name: string) {
  if (!isBuiltin(name))
    throw Object.assign(new Error(`Cannot find module '${name}'`), { code: "MODULE_NOT_FOUND" });
  const own = name.replace(/^node:/, "");
  const shown = facades[own];
  if (shown !== undefined) return shown();
  closeNetwork();
  return realProcess.getBuiltinModule(`node:${own}`);
}
requireBuiltin.resolve = (name: string) => {
  if (isBuiltin(name)) return name;
  throw Object.assign(new Error(`Cannot find module '${name}'`), { code: "MODULE_NOT_FOUND" });
};
requireBuiltin.cache = {};

let shown: Record<string, unknown> | null = null;

/** A `process` that says what any program may know and can do nothing. */
export function shownProcess(): Record<string, unknown> {
  if (shown !== null) return shown;
  const { version, versions, platform, arch, release, features } = realProcess;
  const events = Object.fromEntries(
    ["on", "once", "off", "addListener", "removeListener", "removeAllListeners", "emit"].map(
      (name) => [name, () => shown],
    ),
  );
  const sink = { write: () => true, isTTY: false, fd: -1, on: () => sink, once: () => sink };
  shown = {
    ...{ version, versions, platform, arch, release, features },
    ...events,
    ...{ argv: ["node"], execArgv: [], pid: 1, ppid: 0, title: "node", exitCode: undefined },
    ...{ stdout: sink, stderr: sink, stdin: sink },
    cwd: () => "/",
    uptime: () => 0,
    hrtime: realProcess.hrtime,
    memoryUsage: realProcess.memoryUsage,
    nextTick: realProcess.nextTick,
    emitWarning: () => {},
    listeners: () => [],
    listenerCount: () => 0,
    exit: () => {
      throw new Error("process.exit() is unavailable at import time");
    },
  };
  return shown;
}
