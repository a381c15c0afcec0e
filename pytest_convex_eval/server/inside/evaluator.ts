/**
 * The program of an isolate: reads one request from its stdin, evaluates its units one after another,
 * and writes what it finds to descriptor 3, a line of JSON each. It ends with the first unit that
 * has no value. Each line carries the request's nonce, which evaluated code can't learn.
 */

import vm from "node:vm";

import { describeExports } from "./exports.ts";
import { builtin, shownProcess } from "./node_builtins.ts";
import { process, writeSync } from "./own_node.ts";
import {
  EnvironmentVariables,
  makeConvexRealm,
  makeNodeRealm,
  recentLogs,
  watchVarying,
} from "./analysis_realm.ts";
import { describe, recordFrames, SCHEME } from "./stack.ts";
import { synthetic } from "./synthetic.ts";
import type { Module, Unit, UnitValue, Failure } from "../protocol.ts";

const RESULTS = 3;

class Suspended extends Error {}
/** Asked for what is not the same each time, where that is not allowed. */
class Varying extends Error {
  name = "Error";
}

class Evaluation {
  variables: EnvironmentVariables;
  entered: (module: string) => void;
  /** definitions already evaluated, by path */
  #definitions: Map<string, { name: string }> = new Map();

  constructor(variables: EnvironmentVariables, entered: (module: string) => void) {
    this.variables = variables;
    this.entered = entered;
  }

  async evaluate(unit: Unit): Promise<UnitValue> {
    switch (unit.kind) {
      case "functions":
        return { kind: "functions", modules: await this.#functions(unit) };
      case "schema": {
        this.variables.use({ get: refuseEnvironment, names: () => [] });
        const main = await this.#defaultOf(unit.module);
        if (main === undefined || main === null)
          return { kind: "schema", json: null, problem: "missing" };
        if (typeof main.export !== "function") {
          return { kind: "schema", json: null, problem: "not a schema" };
        }
        return { kind: "schema", json: String(main.export()), problem: null };
      }
      case "auth":
        return await this.#auth(unit);
      case "definition": {
        this.variables.use(given(unit.env));
        const main = await this.#defaultOf(unit.module);
        if (main === undefined || main === null) {
          return { kind: "definition", json: null, problem: "missing" };
        }
        if (typeof main.export !== "function") {
          return { kind: "definition", json: null, problem: "not a definition" };
        }
        const exported = main.export();
        this.#definitions.set(unit.definitionPath, { name: String(exported.name ?? "") });
        return { kind: "definition", json: JSON.stringify(exported), problem: null };
      }
    }
  }

  async #functions(unit: Extract<Unit, { kind: "functions" }>) {
    this.variables.use(given(unit.env));
    const loader = new Loader(unit.modules, this.#definitions);
    const found = [];
    for (const path of unit.entries) {
      this.entered(path);
      found.push(describeExports(path, await loader.load(path)));
    }
    return found;
  }

  async #auth(unit: Extract<Unit, { kind: "auth" }>): Promise<UnitValue> {
    let unset: string | null = null;
    let varying: Varying | null = null;
    const { env } = unit;
    this.variables.use({
      get: (name) => {
        if (!Object.hasOwn(env, name)) unset ??= name;
        return env[name];
      },
      names: () => Object.keys(env),
    });
    watchVarying((what) => {
      const error = new Varying(`${what} unsupported when evaluating auth config file`);
      varying ??= error;
      throw error;
    });
    let main: unknown;
    try {
      main = await this.#defaultOf(unit.module);
    } catch (error) {
      // An unset variable explains what was thrown because of it.
      if (unset === null) throw error;
    } finally {
      watchVarying(() => {});
    }
    // Whether or not the code has caught it.
    if (varying !== null) throw varying;
    if (unset !== null) return { kind: "auth", json: null, unset, problem: null };
    if (main === undefined || main === null) {
      return { kind: "auth", json: null, unset: null, problem: "missing" };
    }
    const json = JSON.stringify(main);
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
  #loaded: Map<string, vm.Module> = new Map();

  constructor(modules: Module[], definitions: Map<string, { name: string }>) {
    this.modules = new Map(modules.map((module) => [module.path, module]));
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
    const evaluated = module.evaluate().finally(() => (settled = true));
    evaluated.catch(() => {});
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

function given(env: Record<string, string>) {
  return {
    get: (name: string) => (Object.hasOwn(env, name) ? env[name] : undefined),
    names: () => Object.keys(env),
  };
}

const nodeBuiltins = process.argv.includes("--node");
const { exit, stdin } = process;
const setImmediate = globalThis.setImmediate;
const Buffer = globalThis.Buffer;
const { stringify } = JSON;

const chunks = [];
for await (const chunk of stdin) chunks.push(chunk);
const { nonce, units }: { nonce: string; units: Unit[] } = JSON.parse(
  Buffer.concat(chunks).toString("utf8"),
);
const say = (line: object) => {
  // The pipe is non-blocking on some systems: a full one says EAGAIN.
  let rest = Buffer.from(`${stringify({ nonce, ...line })}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(RESULTS, rest));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
    }
  }
};

let current = "";
let index = 0;
process.on("uncaughtException", () => {});
process.on("unhandledRejection", () => {});
const variables = new EnvironmentVariables();
const evaluation = new Evaluation(variables, (module) => {
  current = module;
  say({ type: "entered", unit: index, module });
});
recordFrames();
if (nodeBuiltins) makeNodeRealm(variables, shownProcess());
else makeConvexRealm(variables);
for (; index < units.length; index++) {
  try {
    const unit = units[index];
    if (unit !== undefined)
      say({ type: "value", unit: index, value: await evaluation.evaluate(unit) });
  } catch (error) {
    const failure: Failure =
      error instanceof Suspended
        ? { reason: "suspended", unit: index, module: current }
        : {
            ...{
              reason: "threw",
              unit: index,
              module: current,
              error: describe(error, recentLogs()),
            },
            ...(error instanceof Varying ? { varies: true } : {}),
          };
    say({ type: "failed", failure });
    break;
  }
}
say({ type: "end" });
exit(0);
