/** What "use node" modules import that is in no bundle: built-ins, and packages that the server has installed. */

import { facade, isOffered } from "./facades.ts";
import type { Exports } from "./facades.ts";
import { getBuiltinModule, isBuiltin } from "./own_node.ts";
import { PACKAGES } from "./require.ts";

/**
 * The exports of a builtin or of an external package, `default` among them.
 * @param specifier a builtin's with or without `node:`
 * @throws Error when there is neither: all other packages are bundled.
 */
export async function builtin(specifier: string): Promise<object> {
  const name = specifier.replace(/^node:/, "");
  if (!isBuiltin(specifier) && !isOffered(name)) {
    if (PACKAGES === undefined) throw new Error(`Cannot find package '${specifier}'`);
    const load = await import(new URL("load.mjs", `file://${PACKAGES}/`).href);
    return await load.default(specifier);
  }
  const value = facade(name);
  return { ...value, default: value };
}

/** By which the modules of packages are given what `builtin` gives. */
const OFFERED = Symbol("builtin");
const IMPORTED = "convex-import:";
const REQUIRED = "convex-require:";
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/**
 * From now on Node's own loader gives the same built-ins: to the modules of packages, and to code that was compiled in
 * some way that has no loader of ours.
 */
export function hookLoader() {
  const { registerHooks } = getBuiltinModule("node:module");
  Object.defineProperty(globalThis, OFFERED, { value: facade });
  registerHooks({
    resolve: (specifier, context, next) => {
      const name = specifier.replace(/^node:/, "");
      if (!isBuiltin(specifier) && !isOffered(name)) return next(specifier, context);
      const isRequired = context.conditions.includes("require");
      return {
        url: `${isRequired ? REQUIRED : IMPORTED}${name}`,
        format: isRequired ? "commonjs" : "module",
        shortCircuit: true,
      };
    },
    load: (url, context, next) => {
      const [scheme] = [IMPORTED, REQUIRED].filter((each) => url.startsWith(each));
      if (scheme === undefined) return next(url, context);
      const name = url.slice(scheme.length);
      const found =
        "globalThis[Object.getOwnPropertySymbols(globalThis).find((each) => " +
        `each.description === "builtin")](${JSON.stringify(name)})`;
      const isRequired = scheme === REQUIRED;
      return {
        format: isRequired ? "commonjs" : "module",
        source: isRequired ? `module.exports = ${found};` : asModule(found, facade(name)),
        shortCircuit: true,
      };
    },
  });
}

function asModule(found: string, exports: Exports) {
  const names = Object.keys(exports).filter((name) => IDENTIFIER.test(name) && name !== "default");
  const bound = names.map((name, i) => `const $${i} = all[${JSON.stringify(name)}];`);
  const exported = names.map((name, i) => `$${i} as ${name}`);
  return `const all = ${found};\n${bound.join("\n")}\nexport { ${exported.join(", ")} };\nexport default all;\n`;
}
