/**
 * `require` of "use node" modules, and what else CommonJS code finds around it: bundled packages ask for built-ins by
 * it, and for packages that are not in the bundle.
 */

import { facade, isOffered } from "./facades.ts";
import { define } from "./globals.ts";
import { argv, getBuiltinModule, isBuiltin } from "./own_node.ts";
import { callingModule } from "./stack.ts";

/** Packages that bundles leave out, where there are any: the folder that the server has installed them in. */
export const PACKAGES = argv
  .find((each) => each.startsWith("--packages="))
  ?.slice("--packages=".length);
/** Where modules lie, as they see it. */
const FOLDER = "/convex";

type Require = ((name: string) => unknown) & { resolve: (name: string) => string; cache: object };

/** @param from the path that packages are looked for from */
export function requireOf(_from: string): Require {
  const load = (name: string) => {
    const own = String(name).replace(/^node:/, "");
    if (isBuiltin(name) || isOffered(own)) return facade(own);
    return realRequire(name)(name);
  };
  const resolve = (name: string) => (isBuiltin(name) ? name : realRequire(name).resolve(name));
  return Object.assign(load, { resolve, cache: {}, main: undefined, extensions: {} });
}

function realRequire(name: string) {
  if (PACKAGES === undefined)
    throw Object.assign(new Error(`Cannot find module '${name}'`), { code: "MODULE_NOT_FOUND" });
  return getBuiltinModule("node:module").createRequire(`${PACKAGES}/load.mjs`);
}

export function filenameOf(path: string) {
  return `${FOLDER}/${path}`;
}

/** Puts `require`, `exports`, `module`, `__dirname` and `__filename` where each module finds its own. */
export function defineForModules() {
  const modules: Map<string, { exports: object; id: string; filename: string }> = new Map();
  const own = () => {
    const path = callingModule() ?? "";
    const known = modules.get(path);
    if (known !== undefined) return known;
    const filename = filenameOf(path);
    const module = { exports: {}, id: filename, filename, loaded: false, children: [], paths: [] };
    modules.set(path, module);
    return module;
  };
  const values: Record<string, () => unknown> = {
    require: () => requireOf(own().filename),
    module: own,
    exports: () => own().exports,
    __filename: () => own().filename,
    __dirname: () => own().filename.replace(/\/[^/]*$/, ""),
  };
  for (const [name, get] of Object.entries(values))
    Object.defineProperty(globalThis, name, {
      get,
      set: (value) => define(name, value),
      configurable: true,
      enumerable: false,
    });
}
