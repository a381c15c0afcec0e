/**
 * The program of an isolate: reads one request from its stdin, evaluates its units one after another,
 * and says what it finds. It ends with the first unit that has no value.
 */

import vm from "node:vm";

import { onSettled, ownMap, stringify, text } from "./captured.ts";
import { openChannel } from "./channel.ts";
import { given } from "./environment.ts";
import type { Variables } from "./environment.ts";
import { describeExports } from "./exports.ts";
import { importMeta } from "./import_meta.ts";
import { builtin, hookLoader } from "./node_builtins.ts";
import { argv, exit, onUncaught, openStdin } from "./own_node.ts";
import { makeRealm } from "./realm.ts";
import { xorshift } from "./randomness.ts";
import { defineForModules } from "./require.ts";
import { describe, recordFrames, SCHEME } from "./stack.ts";
import { synthetic } from "./synthetic.ts";
import type { Module, ModuleExports, Unit, UnitValue, Failure } from "../protocol.ts";

/** Console lines kept for the report of an import that failed (the backend's number). */
const KEPT_LOG_LINES = 100;

const DATABASE_SYSCALLS = new Set(
  (
    "queryStream queryCleanup queryStreamNext queryPage get insert shallowMerge replace remove count " +
    "db/normalizeId actions/vectorSearch"
  )
    .split(" ")
    .map((name) => `1.0/${name}`),
);

class Suspended extends Error {}
/** Asked for what is not the same each time, where that is not allowed. */
class Varying extends Error {
  name = "Error";
}

/** What code finds around it while one unit is evaluated. */
const around: {
  variables: Variables;
  logs: string[];
  timers: Map<string, number>;
  entries: object[];
  /** Told of what is not the same each time, before it is given; may throw. */
  varying: (what: "Date" | "Math.random") => void;
} = {
  variables: given({}),
  ...{ logs: [], timers: new Map(), entries: [], varying: () => {} },
};

function use(variables: Variables) {
  around.variables = variables;
  around.logs = [];
  around.timers = new Map();
}

class Evaluation {
  entered: (module: string) => void;
  /** definitions already evaluated, by path */
  #definitions: Map<string, { name: string }> = ownMap();

  constructor(entered: (module: string) => void) {
    this.entered = entered;
  }

  async evaluate(unit: Unit): Promise<UnitValue> {
    switch (unit.kind) {
      case "functions":
        return { kind: "functions", modules: await this.#functions(unit) };
      case "schema": {
        use({ get: refuseEnvironment, names: () => [] });
        const main = await this.#defaultOf(unit.module);
        if (main === undefined || main === null)
          return { kind: "schema", json: null, problem: "missing" };
        if (typeof main.export !== "function") {
          return { kind: "schema", json: null, problem: "not a schema" };
        }
        return { kind: "schema", json: text(main.export()), problem: null };
      }
      case "auth":
        return await this.#auth(unit);
      case "definition": {
        use(given(unit.env));
        const main = await this.#defaultOf(unit.module);
        if (main === undefined || main === null) {
          return { kind: "definition", json: null, problem: "missing" };
        }
        if (typeof main.export !== "function") {
          return { kind: "definition", json: null, problem: "not a definition" };
        }
        const exported = main.export();
        this.#definitions.set(unit.definitionPath, { name: text(exported.name ?? "") });
        return { kind: "definition", json: stringify(exported), problem: null };
      }
    }
  }

  async #functions(unit: Extract<Unit, { kind: "functions" }>) {
    use(given(unit.env));
    const loader = new Loader(unit.modules, this.#definitions);
    const found: ModuleExports[] = [];
    for (let i = 0; i < unit.entries.length; i++) {
      const path = unit.entries[i] as string;
      this.entered(path);
      found[i] = describeExports(path, await loader.load(path));
    }
    return found;
  }

  async #auth(unit: Extract<Unit, { kind: "auth" }>): Promise<UnitValue> {
    let unset: string | null = null;
    let varying: Varying | null = null;
    const { env } = unit;
    use({
      get: (name) => {
        if (!Object.hasOwn(env, name)) unset ??= name;
        return env[name];
      },
      names: () => Object.keys(env),
    });
    around.varying = (what) => {
      const error = new Varying(`${what} unsupported when evaluating auth config file`);
      varying ??= error;
      throw error;
    };
    let main: unknown;
    try {
      main = await this.#defaultOf(unit.module);
    } catch (error) {
      // An unset variable explains what was thrown because of it.
      if (unset === null) throw error;
    } finally {
      around.varying = () => {};
    }
    // Whether or not the code has caught it.
    if (varying !== null) throw varying;
    if (unset !== null) return { kind: "auth", json: null, unset, problem: null };
    if (main === undefined || main === null) {
      return { kind: "auth", json: null, unset: null, problem: "missing" };
    }
    const json = stringify(main);
    if (json === undefined) return { kind: "auth", json: null, unset: null, problem: "not json" };
    return { kind: "auth", json, unset: null, problem: null };
  }

  async #defaultOf(module: Module): Promise<any> {
    this.entered(module.path);
    const namespace = await new Loader([module], this.#definitions).load(module.path);
    return "default" in namespace ? namespace.default : undefined;
  }
}

/** The modules of one unit, linked to each other by their relative imports. */
class Loader {
  modules: Map<string, Module>;
  definitions: Map<string, { name: string }>;
  #loaded: Map<string, vm.Module> = ownMap();

  constructor(modules: Module[], definitions: Map<string, { name: string }>) {
    this.modules = ownMap();
    for (const module of modules) this.modules.set(module.path, module);
    this.definitions = definitions;
  }

  /** The namespace of a module once it has been evaluated. */
  async load(path: string): Promise<object> {
    const module = this.#module(path);
    if (module.status === "unlinked") {
      await module.link((specifier, referrer) => this.#resolve(specifier, referrer.identifier));
    }
    if (module.status === "errored") throw module.error;
    let settled = false;
    const evaluated = module.evaluate();
    const done = () => {
      settled = true;
    };
    void onSettled(evaluated, done, done);
    await new Promise((resolve) => setImmediate(resolve));
    if (!settled) throw new Suspended();
    await evaluated;
    return module.namespace;
  }

  #module(path: string) {
    const known = this.#loaded.get(path);
    if (known !== undefined) return known;
    const source = this.modules.get(path)?.source;
    if (source === undefined) throw new Error(`Could not find module ${path}`);
    const module = new vm.SourceTextModule(source, {
      identifier: SCHEME + path,
      importModuleDynamically: (specifier) => {
        throw new Error(`dynamic module import unsupported at import time: ${specifier}`);
      },
      initializeImportMeta: (meta) => {
        if (nodeBuiltins) Object.assign(meta, importMeta(path));
      },
    });
    this.#loaded.set(path, module);
    return module;
  }

  #resolve(specifier: string, referrer: string): vm.Module | Promise<vm.Module> {
    const component = /(?:^|\/)_componentDeps\/([A-Za-z0-9_-]+=*)$/.exec(specifier);
    if (component?.[1] !== undefined) return this.#component(component[1]);
    if (specifier.startsWith("./") || specifier.startsWith("../")) {
      return this.#module(
        new URL(specifier, `file:///${referrer.slice(SCHEME.length)}`).pathname.slice(1),
      );
    }
    if (nodeBuiltins) return this.#builtin(specifier);
    throw new Error(`Relative import path "${specifier}" not prefixed with / or ./ or ../`);
  }

  /** What the parent's definition gets when it imports a child's. */
  #component(encoded: string) {
    const componentDefinitionPath = Buffer.from(encoded, "base64url").toString("utf8");
    const known = this.definitions.get(componentDefinitionPath);
    const value = {
      componentDefinitionPath,
      defaultName: known?.name ?? componentDefinitionPath.split("/").at(-1),
      export: () => ({}),
    };
    return synthetic(`${SCHEME}_componentDeps/${encoded}`, { default: value });
  }

  async #builtin(specifier: string) {
    const module = await builtin(specifier);
    return synthetic(specifier, module);
  }
}

function refuseEnvironment(): undefined {
  throw new Error("Environment variables unsupported when evaluating schema");
}

function syscall(op: string) {
  if (DATABASE_SYSCALLS.has(op)) throw new Error("Can't use database at import time");
  throw new Error(`Syscall ${op} unsupported at import time`);
}

function unsupported(what: string) {
  return () => {
    throw new Error(`${what} unsupported at import time`);
  };
}

const nodeBuiltins = argv.includes("--node");
const { setImmediate, Buffer } = globalThis;
const { now: realNow } = Date;

const say = openChannel();
const chunks = [];
for await (const chunk of openStdin()) chunks.push(chunk);
const { units }: { units: Unit[] } = JSON.parse(Buffer.concat(chunks).toString("utf8"));

let current = "";
let index = 0;
onUncaught({ thrown: () => {}, rejected: () => {} });
const evaluation = new Evaluation((module) => {
  current = module;
  say({ type: "entered", unit: index, module });
});
recordFrames();
// Time stands still during an import.
const fixedNow = realNow();
let seed = 0x9e3779b9;
const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
const own = {
  Convex: { syscall, asyncSyscall: syscall, jsSyscall: syscall },
  fetch: unsupported("fetch()"),
  clearTimeout: () => {},
  clearInterval: () => {},
};
makeRealm({
  node: nodeBuiltins,
  now: () => {
    around.varying("Date");
    return fixedNow;
  },
  timeline: () => ({ origin: fixedNow, entries: around.entries }),
  randomness: {
    next: () => {
      seed = xorshift(seed);
      return seed;
    },
    asked: () => around.varying("Math.random"),
    refuseKeys: unsupportedKeys,
  },
  variables: () => around.variables,
  lines: {
    write: (level, line) => {
      around.logs.push(`[${level}] ${line}`);
      if (around.logs.length > KEPT_LOG_LINES) around.logs.shift();
    },
    timers: () => around.timers,
  },
  globals: nodeBuiltins
    ? { ...own, setTimeout, setInterval, clearTimeout, clearInterval }
    : { ...own, setTimeout: unsupported("setTimeout"), setInterval: unsupported("setInterval") },
});
if (nodeBuiltins) {
  defineForModules();
  hookLoader();
}

function unsupportedKeys(): never {
  throw new Error("Cannot use cryptographic randomness at import time");
}

for (; index < units.length; index++) {
  try {
    const unit = units[index];
    if (unit !== undefined)
      say({ type: "value", unit: index, value: await evaluation.evaluate(unit) });
  } catch (error) {
    say({ type: "failed", failure: failureOf(error) });
    break;
  }
}
say({ type: "end" });
exit();

function failureOf(error: unknown): Failure {
  const at = { unit: index, module: current };
  if (error instanceof Suspended) return { reason: "suspended", ...at };
  const thrown = describe(error, around.logs);
  return error instanceof Varying
    ? { reason: "threw", ...at, error: thrown, varies: true }
    : { reason: "threw", ...at, error: thrown };
}
