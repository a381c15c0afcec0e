/**
 * Modules of one call: fresh instances; what they are compiled to is shared by all calls.
 * @import { ScriptModule } from "./script_module.mjs"
 */

import vm from "node:vm";

import { builtin } from "./node_builtins.mjs";
import { SCHEME } from "./stack.mjs";
import { compileScript } from "./script_module.mjs";

/** @typedef {(specifier: string, referrer: string) => Promise<vm.Module>} ImportDynamically `referrer`: a path */

/** The modules of one app or component. */
export class Code {
  /** Null where one of them is of another form than scripts can have. @type {Map<string, ScriptModule> | null | undefined} */
  #scripts;

  /**
   * @param {number} definition
   * @param {[string, string][]} modules paths and sources
   * @param {{ node: boolean, importDynamically: ImportDynamically, libraries?: Map<string, object> }} options
   *   `libraries`: exports of what can be imported beside them, by specifier
   */
  constructor(definition, modules, { node, importDynamically, libraries = new Map() }) {
    // The app's paths stand for themselves; no path of a module can begin like a component's.
    this.prefix = definition === 0 ? SCHEME : `${SCHEME}~${definition}/`;
    this.modules = new Map(modules);
    this.node = node;
    this.importDynamically = importDynamically;
    this.libraries = libraries;
    // Bundles for Node have imports of builtins anywhere.
    if (node) this.#scripts = null;
  }

  /** @returns {Map<string, ScriptModule> | null} */
  scripts() {
    if (this.#scripts !== undefined) return this.#scripts;
    /** @type {Map<string, ScriptModule>} */
    const scripts = new Map();
    for (const [path, source] of this.modules) {
      const script = compileScript(source, this.prefix + path, (specifier) => this.importDynamically(specifier, path));
      if (script === null) return (this.#scripts = null);
      scripts.set(path, script);
    }
    return (this.#scripts = scripts);
  }
}

/** A path relative to another. @param {string} specifier @param {string} referrer */
function resolvePath(specifier, referrer) {
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
    throw new Error(`Relative import path "${specifier}" not prefixed with / or ./ or ../`);
  }
  return new URL(specifier, `file:///${referrer}`).pathname.slice(1);
}

export class Loader {
  /** @type {Map<string, vm.Module>} */
  #modules = new Map();
  /** @type {Map<string, Record<string, any>>} */
  #exports = new Map();

  /** @param {Code} code */
  constructor(code) {
    this.code = code;
  }

  /** The exports of a module once it has been evaluated. @param {string} path @returns {Promise<Record<string, any>>} */
  async load(path) {
    const scripts = this.code.scripts();
    if (scripts !== null) return this.#run(path, scripts);
    const module = this.#module(path);
    await this.#evaluate(module);
    return module.namespace;
  }

  /** For `import()`. @param {string} specifier @param {string} referrer @returns {Promise<vm.Module>} */
  async importDynamically(specifier, referrer) {
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

  /** @param {string} path @param {Map<string, ScriptModule>} scripts @returns {Record<string, any>} */
  #run(path, scripts) {
    const known = this.#exports.get(path);
    if (known !== undefined) return known;
    const script = scripts.get(path);
    if (script === undefined) throw new Error(`Could not find module ${path}`);
    const imported = script.imports.flatMap((each) => {
      const { specifier, names } = each;
      /** @type {any} */
      const exports = this.code.libraries.get(specifier) ?? this.#run((each.path ??= resolvePath(specifier, path)), scripts);
      return names.map((name) => exports[name.imported]);
    });
    const exports = script.run.apply(undefined, imported);
    this.#exports.set(path, exports);
    return exports;
  }

  /** @param {vm.Module} module */
  async #evaluate(module) {
    if (module.status === "unlinked") {
      const { prefix } = this.code;
      await module.link((specifier, referrer) => this.#resolve(specifier, referrer.identifier.slice(prefix.length)));
    }
    await module.evaluate();
  }

  /** @param {string} path */
  #module(path) {
    const known = this.#modules.get(path);
    if (known !== undefined) return known;
    const source = this.code.modules.get(path);
    if (source === undefined) throw new Error(`Could not find module ${path}`);
    const module = new vm.SourceTextModule(source, {
      identifier: this.code.prefix + path,
      importModuleDynamically: (specifier) => this.code.importDynamically(specifier, path),
    });
    this.#modules.set(path, module);
    return module;
  }

  /** @param {string} specifier @param {string} referrer a path @returns {Promise<vm.Module>} */
  async #resolve(specifier, referrer) {
    const library = this.code.libraries.get(specifier);
    if (library !== undefined) return synthetic(specifier, library);
    const isRelative = specifier.startsWith("./") || specifier.startsWith("../");
    if (this.code.node && !isRelative) return synthetic(specifier, await builtin(specifier));
    return this.#module(resolvePath(specifier, referrer));
  }
}

/** @param {string} identifier @param {object} values */
function synthetic(identifier, values) {
  const entries = Object.entries(values);
  return new vm.SyntheticModule(
    entries.map(([name]) => name),
    function () {
      for (const [name, value] of entries) this.setExport(name, value);
    },
    { identifier },
  );
}
