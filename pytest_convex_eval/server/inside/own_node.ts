/**
 * What our own programs use of Node, got without `import`: that reads every export of a module, those too that Node
 * makes when they are read first. The standard streams and those of files take 5 ms of an isolate's start.
 */

const { process } = globalThis;

export const { argv, getBuiltinModule } = process;
export const { readSync, writeSync, openSync, closeSync } = getBuiltinModule("node:fs");
export const { AsyncLocalStorage, AsyncResource } = getBuiltinModule("node:async_hooks");
export const { getHeapStatistics } = getBuiltinModule("node:v8");
export const inspect = getBuiltinModule("node:util").inspect;
/** Loaded where it is asked for: no code of the default runtime has a built-in of Node's. */
export const isBuiltin = (name: string) => getBuiltinModule("node:module").isBuiltin(name);
/** What can be said of this Node to anybody. */
export const {
  version,
  versions,
  platform,
  arch,
  release,
  features,
  hrtime,
  memoryUsage,
  nextTick,
} = process;
const { reallyExit } = process as unknown as { reallyExit: (code: number) => never };
const { on } = process;

/** From when it is asked for, its descriptor can't be read otherwise. */
export function openStdin() {
  return process.stdin;
}

export function exit(): never {
  return Reflect.apply(reallyExit, process, [0]);
}

/** Hears of what nobody has caught. */
export function onUncaught({
  thrown,
  rejected,
}: {
  thrown: (error: unknown) => void;
  rejected: (reason: unknown) => void;
}) {
  Reflect.apply(on, process, ["uncaughtException", thrown]);
  Reflect.apply(on, process, ["unhandledRejection", rejected]);
}

/** What Node's own JavaScript asks of `process` while it runs. */
const KEPT = new Set(
  (
    "version versions platform arch release features hrtime memoryUsage nextTick emitWarning emit on once off " +
    "addListener removeListener removeAllListeners listeners listenerCount eventNames prependListener " +
    "getMaxListeners setMaxListeners rawListeners uptime _events _eventsCount _maxListeners _exiting " +
    "_fatalException"
  ).split(" "),
);
/** What it asks for that is not there: without it, a getter on `Object.prototype` would be asked, with `process`. */
const ABSENT =
  "domain noDeprecation throwDeprecation traceDeprecation noProcessWarnings exitCode report permission".split(
    " ",
  );

/**
 * Takes from `process`, and from what it inherits, all that reaches out of it. Pushed code can't get at it; if it did,
 * it would have nothing.
 */
export function emptyProcess() {
  // Nobody reads them, and they would be written to a stream that is not there any more.
  process.removeAllListeners("warning");
  const { env } = process;
  const events = Object.getPrototypeOf(Object.getPrototypeOf(process));
  const methods = Object.create(null, Object.getOwnPropertyDescriptors(events));
  for (const name of Reflect.ownKeys(process)) {
    if (typeof name === "symbol" || KEPT.has(name)) continue;
    Reflect.deleteProperty(process, name);
  }
  for (const name of ABSENT) define(name, undefined);
  const { TMPDIR } = env;
  define("env", Object.assign(Object.create(null), TMPDIR === undefined ? {} : { TMPDIR }));
  define("argv", ["node"]);
  define("execArgv", []);
  define("cwd", () => "/");
  define("umask", () => 0o22);
  Object.setPrototypeOf(process, methods);
}

function define(name: string, value: unknown) {
  Reflect.defineProperty(process, name, { value, writable: true, configurable: true });
}

/** Has the objects of streams inherit nothing that pushed code can put a getter on. */
export function cutPrototypes() {
  const { EventEmitter } = getBuiltinModule("node:events");
  Object.setPrototypeOf(EventEmitter.prototype, null);
  let handle: object | null = Reflect.get(process.stdin, "_handle") ?? null;
  while (handle !== null) {
    const above: object | null = Object.getPrototypeOf(handle);
    if (above === Object.prototype) Object.setPrototypeOf(handle, null);
    handle = above === Object.prototype ? null : above;
  }
}
