/** Modules of one call: fresh instances; what they are compiled to is shared by all calls. */

import vm from "node:vm";

import { importMeta } from "./import_meta.ts";
import { builtin } from "./node_builtins.ts";
import { ownMap } from "./captured.ts";
import { SCHEME } from "./stack.ts";
import { compileScript } from "./script_module.ts";
import type { ScriptModule } from "./script_module.ts";
import { synthetic } from "./synthetic.ts";

/** `referrer`: a path */
export type ImportDynamically = (specifier: string, referrer: string) => Promise<vm.Module>;

/** The modules of one app or component. */
export class Code {
  prefix: string;
  modules: Map<string, string>;
  node: boolean;
  importDynamically: ImportDynamically;
  libraries: Map<string, object>;
  /** Null where one of them is of another form than scripts can have. */
  #scripts: Map<string, ScriptModule> | null | undefined;

  /**
   * @param modules paths and sources
   * @param options `libraries`: exports of what can be imported beside them, by specifier
   */
  constructor(
    definition: number,
    modules: [string, string][],
    {
      node,
      importDynamically,
      libraries = new Map(),
    }: { node: boolean; importDynamically: ImportDynamically; libraries?: Map<string, object> },
  ) {
    // The app's paths stand for themselves; no path of a module can begin like a component's.
    this.prefix = definition === 0 ? SCHEME : `${SCHEME}~${definition}/`;
    this.modules = ownMap();
    for (const [path, source] of modules) this.modules.set(path, source);
    this.node = node;
    this.importDynamically = importDynamically;
    this.libraries = libraries;
    // Bundles for Node have imports of builtins anywhere.
    if (node) this.#scripts = null;
  }

  scripts(): Map<string, ScriptModule> | null {
    if (this.#scripts !== undefined) return this.#scripts;
    const scripts: Map<string, ScriptModule> = ownMap();
    let areAll = true;
    this.modules.forEach((source, path) => {
      const script = areAll
        ? compileScript(source, this.prefix + path, (specifier) =>
            this.importDynamically(specifier, path),
          )
        : null;
      if (script === null) areAll = false;
      else scripts.set(path, script);
    });
    this.#scripts = areAll ? scripts : null;
    return this.#scripts;
  }
}

/** A path relative to another. */
function resolvePath(specifier: string, referrer: string) {
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
    throw new Error(`Relative import path "${specifier}" not prefixed with / or ./ or ../`);
  }
  return new URL(specifier, `file:///${referrer}`).pathname.slice(1);
}

export class Loader {
  code: Code;
  #modules: Map<string, vm.Module> = ownMap();
  #exports: Map<string, Record<string, any>> = ownMap();

  constructor(code: Code) {
    this.code = code;
  }

  /** The exports of a module once it has been evaluated. */
  async load(path: string): Promise<Record<string, any>> {
    const scripts = this.code.scripts();
    if (scripts !== null) return this.#run(path, scripts);
    const module = this.#module(path);
    await this.#evaluate(module);
    return module.namespace;
  }

  /** For `import()`. */
  async importDynamically(specifier: string, referrer: string): Promise<vm.Module> {
    const scripts = this.code.scripts();
    if (scripts === null) {
      const module = await this.#resolve(specifier, referrer);
      await this.#evaluate(module);
      return module;
    }
    const found = synthetic(specifier, this.#run(resolvePath(specifier, referrer), scripts));
    await this.#evaluate(found);
    return found;
  }

  #run(path: string, scripts: Map<string, ScriptModule>): Record<string, any> {
    const known = this.#exports.get(path);
    if (known !== undefined) return known;
    const script = scripts.get(path);
    if (script === undefined) throw new Error(`Could not find module ${path}`);
    const imported = script.imports.flatMap((each) => {
      const { specifier, names } = each;
      each.path ??= resolvePath(specifier, path);
      const exports: any = this.code.libraries.get(specifier) ?? this.#run(each.path, scripts);
      return names.map((name) => exports[name.imported]);
    });
    const exports = script.run.apply(undefined, imported);
    this.#exports.set(path, exports);
    return exports;
  }

  async #evaluate(module: vm.Module) {
    if (module.status === "unlinked") {
      const { prefix } = this.code;
      await module.link((specifier, referrer) =>
        this.#resolve(specifier, referrer.identifier.slice(prefix.length)),
      );
    }
    await module.evaluate();
  }

  #module(path: string) {
    const known = this.#modules.get(path);
    if (known !== undefined) return known;
    const source = this.code.modules.get(path);
    if (source === undefined) throw new Error(`Could not find module ${path}`);
    const module = new vm.SourceTextModule(source, {
      identifier: this.code.prefix + path,
      importModuleDynamically: (specifier) => this.code.importDynamically(specifier, path),
      initializeImportMeta: (meta) => {
        if (this.code.node) Object.assign(meta, importMeta(path));
      },
    });
    this.#modules.set(path, module);
    return module;
  }

  /** @param referrer a path */
  async #resolve(specifier: string, referrer: string): Promise<vm.Module> {
    const library = this.code.libraries.get(specifier);
    if (library !== undefined) return synthetic(specifier, library);
    const isRelative = specifier.startsWith("./") || specifier.startsWith("../");
    if (this.code.node && !isRelative) return synthetic(specifier, await builtin(specifier));
    return this.#module(resolvePath(specifier, referrer));
  }
}
