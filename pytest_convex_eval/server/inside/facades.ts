/**
 * Node's built-ins as "use node" modules get them. The process around them has no right to read, write, or start
 * anything (Node's permission model), but that model leaves open what these close: sockets, descriptors that are
 * ours, databases, and whatever hands out Node's own objects.
 */

import { IS_OPEN, noNetwork } from "./network.ts";
import { argv, closeSync, getBuiltinModule, nextTick, openSync } from "./own_node.ts";
import { requireOf } from "./require.ts";
import { shownProcess } from "./shown_process.ts";

export type Exports = Record<string, unknown>;

/** As they are. */
const WHOLE = new Set(
  (
    "assert assert/strict buffer constants crypto diagnostics_channel events fs/promises http http2 https path " +
    "path/posix path/win32 perf_hooks punycode querystring readline readline/promises stream stream/consumers " +
    "stream/promises stream/web string_decoder sys timers timers/promises url util util/types zlib " +
    "_http_agent _http_client _http_common _http_incoming _http_outgoing _http_server _stream_duplex " +
    "_stream_passthrough _stream_readable _stream_transform _stream_wrap _stream_writable _tls_common _tls_wrap tls"
  ).split(" "),
);

const made: Map<string, Exports> = new Map();

/**
 * The exports of a builtin.
 * @param name without `node:`
 * @throws Error for one that pushed code can't have
 */
export function facade(name: string): Exports {
  const known = made.get(name);
  if (known !== undefined) return known;
  const make = MADE[name];
  if (make === undefined && !WHOLE.has(name))
    throw new Error(`The Node.js module 'node:${name}' is unavailable to pushed code`);
  const exports = make === undefined ? real(name) : make();
  made.set(name, exports);
  return exports;
}

export function isOffered(name: string) {
  return WHOLE.has(name) || name in MADE;
}

export function offered() {
  return [...WHOLE, ...Object.keys(MADE)].sort();
}

function real(name: string): Exports {
  return getBuiltinModule(`node:${name}`) as unknown as Exports;
}

function noProcesses(): never {
  throw new Error("Processes and threads are unavailable to pushed code");
}

function unavailable(): never {
  throw new Error("This function of Node.js is unavailable to pushed code");
}

/** A builtin with each of its functions, but for those in `own`, in the form of `closed`. */
function closed(name: string, shut: () => never, own: Exports = {}): Exports {
  const exports = Object.entries(real(name)).map(([key, value]) => [
    key,
    typeof value === "function" ? shut : value,
  ]);
  return { ...Object.fromEntries(exports), ...own };
}

/** A builtin without some of its exports. */
function without(name: string, names: string[], own: Exports = {}): Exports {
  const shut = names.filter((each) => each in real(name)).map((each) => [each, unavailable]);
  return { ...real(name), ...Object.fromEntries(shut), ...own };
}

/** A class whose instances are made of other arguments, or not at all. */
function guarded(real: any, check: (args: unknown[]) => unknown[]): unknown {
  const shown: unknown = new Proxy(real, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, check(args), newTarget === shown ? target : newTarget),
    apply: (target, self, args) => Reflect.apply(target, self, check(args)),
    getPrototypeOf: () => Function.prototype,
  });
  Object.defineProperty(real.prototype, "constructor", {
    value: shown,
    writable: true,
    configurable: true,
  });
  return shown;
}

const MADE: Record<string, () => Exports> = {
  process: shownProcess,
  module: () => {
    const names = offered();
    const isBuiltin = (name: unknown) => isOffered(String(name).replace(/^node:/, ""));
    const createRequire = (from: unknown) => requireOf(String(from));
    const Module = { builtinModules: names, isBuiltin, createRequire };
    return { ...Module, Module };
  },
  worker_threads: () =>
    without(
      "worker_threads",
      ["postMessageToThread", "moveMessagePortToContext", "BroadcastChannel"],
      {
        ...{ isMainThread: true, parentPort: null, workerData: null, Worker: noProcesses },
      },
    ),
  child_process: () => closed("child_process", noProcesses),
  cluster: () => ({ isMaster: true, isPrimary: true, fork: noProcesses }),
  inspector: () => closed("inspector", unavailable),
  "inspector/promises": () => closed("inspector/promises", unavailable),
  domain: () => ({ active: null, create: unavailable, createDomain: unavailable }),
  async_hooks: () => ({
    ...real("async_hooks"),
    // Both hand out Node's own objects.
    createHook: () => {
      const hook = { enable: () => hook, disable: () => hook };
      return hook;
    },
    executionAsyncResource: () => ({}),
  }),
  tty: () => closed("tty", unavailable, { isatty: () => false }),
  v8: () =>
    without(
      "v8",
      "setFlagsFromString setHeapSnapshotNearHeapLimit writeHeapSnapshot getHeapSnapshot queryObjects takeCoverage stopCoverage promiseHooks startupSnapshot startCpuProfile".split(
        " ",
      ),
    ),
  os: () => ({
    ...real("os"),
    hostname: () => "localhost",
    homedir: () => "/",
    networkInterfaces: () => ({}),
    userInfo: () => ({ uid: 1000, gid: 1000, username: "user", homedir: "/", shell: null }),
    setPriority: unavailable,
  }),
  vm: virtualMachines,
  fs: () => {
    guardDescriptors();
    return real("fs");
  },
  net: () => {
    const checked = (args: unknown[]) => {
      for (const option of ["fd", "handle", "_handle"])
        if (typeof args[0] === "object" && args[0] !== null && option in args[0]) unavailable();
      return args;
    };
    const Socket = guarded(getBuiltinModule("node:net").Socket, checked);
    return without("net", ["_createServerHandle", "_normalizeArgs"], { Socket, Stream: Socket });
  },
  dgram: () => (IS_OPEN ? without("dgram", ["_createSocketHandle"]) : closed("dgram", noNetwork)),
  dns: () => (IS_OPEN ? real("dns") : closedNames()),
  "dns/promises": () => (IS_OPEN ? real("dns/promises") : closedNamePromises()),
};

/** Code that is run by these is pushed code too: it gets no loader but ours. */
function virtualMachines(): Exports {
  const vm = getBuiltinModule("node:vm");
  const clean = (options: unknown) => {
    if (typeof options !== "object" || options === null) return options;
    const { importModuleDynamically: _, ...rest } = options as Record<string, unknown>;
    return rest;
  };
  const cleaned = (args: unknown[]) => args.map((each, i) => (i === 0 ? each : clean(each)));
  const own = Object.fromEntries(
    (["runInThisContext", "compileFunction"] as const).map((name) => [
      name,
      (...args: unknown[]) => Reflect.apply(vm[name], vm, cleaned(args)),
    ]),
  );
  // A context must stay the object that it is.
  const inContext =
    (name: "runInContext" | "runInNewContext") =>
    (code: string, context: object, options: unknown) =>
      vm[name](code, context as never, clean(options) as never);
  return {
    Script: guarded(vm.Script, cleaned),
    ...own,
    runInContext: inContext("runInContext"),
    runInNewContext: inContext("runInNewContext"),
    createContext: (context: object, options: unknown) =>
      vm.createContext(context, clean(options) as never),
    isContext: vm.isContext,
    constants: {},
    measureMemory: unavailable,
  };
}

function closedNames(): Exports {
  const error = () =>
    Object.assign(new Error("getaddrinfo ENOTFOUND: the network is unavailable to pushed code"), {
      ...{ code: "ENOTFOUND", syscall: "getaddrinfo" },
    });
  const ask = (...args: unknown[]) => {
    const done = args.at(-1);
    if (typeof done !== "function") throw error();
    nextTick(done, error());
  };
  const functions = Object.entries(real("dns")).map(([name, value]) => [
    name,
    typeof value !== "function" ? value : name === "Resolver" ? noNetwork : ask,
  ]);
  return {
    ...Object.fromEntries(functions),
    ...{ getServers: () => [], setServers: () => {} },
    ...{ getDefaultResultOrder: () => "verbatim", setDefaultResultOrder: () => {} },
    promises: facade("dns/promises"),
  };
}

function closedNamePromises(): Exports {
  const functions = Object.entries(real("dns/promises")).map(([name, value]) => [
    name,
    typeof value !== "function" ? value : name === "Resolver" ? noNetwork : async () => noNetwork(),
  ]);
  return { ...Object.fromEntries(functions), getServers: () => [], setServers: () => {} };
}

/** Those of fs that take a descriptor, or a path or a descriptor, first. */
const TAKE_DESCRIPTORS =
  "read readv write writev close fstat fsync fdatasync ftruncate futimes fchmod fchown readFile writeFile appendFile".split(
    " ",
  );
let areGuarded = false;

/** Descriptors that were open before pushed code was there are none of its own. */
function guardDescriptors() {
  if (areGuarded) return;
  areGuarded = true;
  const first = openSync(argv[1] as string, "r");
  closeSync(first);
  const fs = real("fs");
  for (const name of TAKE_DESCRIPTORS.flatMap((each) => [each, `${each}Sync`])) {
    const method = fs[name];
    if (typeof method !== "function") continue;
    fs[name] = Object.assign((...args: unknown[]) => {
      const [descriptor] = args;
      const done = args.at(-1);
      if (typeof descriptor === "number" && descriptor < first) {
        const error = Object.assign(new Error("EBADF: bad file descriptor"), { code: "EBADF" });
        if (name.endsWith("Sync") || typeof done !== "function") throw error;
        nextTick(done, error);
        return;
      }
      return Reflect.apply(method, fs, args);
    }, method);
  }
}
