/**
 * Bundled modules as plain functions. Node 24.19 never frees a `vm.SourceTextModule` (measured: 3,000 instances of
 * a module of 2,000 closures keep 667 MB) and compiles the functions in it anew for each instance (4 ms a call
 * instead of 1), so what esbuild wrote in its usual form is compiled once, as a function that is run for each call.
 *
 * The form: import statements of chunks at the top, one export list at the end. Chunks do not import each other in
 * circles, so importing a value once is right for every export that is not assigned again. Whatever is not so is
 * left to `vm.SourceTextModule`.
 */

import vm from "node:vm";

/** `path`: what it stands for, once that is known */
export type Import = {
  specifier: string;
  path?: string;
  names: { imported: string; local: string }[];
};
export type ScriptModule = {
  imports: Import[];
  run: (...imported: unknown[]) => Record<string, unknown>;
};

const COMMENTS = /(?:\s|\/\/[^\n]*\n|"use [a-z]+";)*/y;
const IMPORT = /import(?:\s*\{([^{}]*)\}\s*from)?\s*"([^"\n]*)";?[ \t]*(?:\n|$)/y;
const EXPORTS = /(?:^|\n)export\s*\{([^{}]*)\};?\s*(?:\/\/[^\n]*(?:\n\s*|$))*$/;
const NAME = /^([\w$]+)(?:\s+as\s+(?:([\w$]+)|"([^"\\\n]*)"))?$/;

/** @returns null for a module of another form */
export function compileScript(
  source: string,
  filename: string,
  importDynamically: (specifier: string) => Promise<vm.Module>,
): ScriptModule | null {
  const imports: Import[] = [];
  let text = source;
  let at = 0;
  for (;;) {
    COMMENTS.lastIndex = at;
    COMMENTS.exec(source);
    IMPORT.lastIndex = COMMENTS.lastIndex;
    const found = IMPORT.exec(source);
    if (found === null) break;
    const names = parseNames(found[1] ?? "");
    if (names === null) return null;
    imports.push({
      specifier: found[2] ?? "",
      names: names.map(([imported, local]) => ({ imported, local })),
    });
    text = blank(text, found.index, IMPORT.lastIndex);
    at = IMPORT.lastIndex;
  }
  let exports: [string, string][] = [];
  const tail = EXPORTS.exec(text);
  if (tail !== null) {
    const names = parseNames(tail[1] ?? "");
    if (names === null) return null;
    exports = names;
    text = blank(text, tail.index, text.length);
  }
  if (exports.some(([local]) => isAssignedAgain(text, local))) return null;
  const getters = exports.map(([local, name]) => `get ${JSON.stringify(name)}(){return ${local}}`);
  const locals = imports.flatMap(({ names }) => names.map(({ local }) => local));
  try {
    const run = vm.compileFunction(
      `"use strict";${text}\nreturn{__proto__:null,${getters.join()}}`,
      locals,
      {
        filename,
        columnOffset: -'"use strict";'.length,
        importModuleDynamically: (specifier) => importDynamically(specifier),
      },
    );
    return { imports, run: run as unknown as ScriptModule["run"] };
  } catch (error) {
    if (error instanceof SyntaxError) return null; // A top-level await, an import in the middle, `import.meta`.
    throw error;
  }
}

/** The pairs of `a, b as c`; null for a list of another form. */
function parseNames(list: string): [string, string][] | null {
  const pairs: [string, string][] = [];
  for (const part of list.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const match = NAME.exec(part);
    if (match?.[1] === undefined) return null;
    pairs.push([match[1], match[2] ?? match[3] ?? match[1]]);
  }
  return pairs;
}

/** A text without what stands between two places, its lines kept. */
function blank(text: string, from: number, to: number) {
  return text.slice(0, from) + text.slice(from, to).replace(/[^\n]/g, " ") + text.slice(to);
}

/**
 * Whether a variable may get another value than its first: assigned, counted up or down, the target of a pattern
 * or of a loop. esbuild gives a top-level name to nothing else in a module.
 */
function isAssignedAgain(text: string, name: string) {
  const own = `(?<![\\w$.])${name.replaceAll("$", "\\$")}(?![\\w$])`;
  const assigned = new RegExp(
    `${own}\\s*(?:[-+*/%&|^]|\\*\\*|<<|>>>?|&&|\\|\\||\\?\\?)?=(?![=>])|(?:\\+\\+|--)\\s*${own}|${own}\\s*(?:\\+\\+|--)`,
    "g",
  );
  const pattern = new RegExp(
    `[[,{:]\\s*${own}[^\\n;=()]*[\\]}]\\s*=(?![=>])|\\bfor\\s*\\(\\s*${own}\\s+(?:of|in)\\b`,
  );
  if (pattern.test(text)) return true;
  // At the start of a statement: elsewhere it is what a text or a comment says.
  const declared = `(?:^|[;{}])\\s*(?:async\\s+)?(?:function\\s*\\*?|class)\\s+${own}`;
  const isDeclaration = new RegExp(declared, "m").test(text);
  const [first, second] = text.matchAll(assigned);
  if (first === undefined) return false;
  const isInitializer = /(?:,|\b(?:var|let|const))\s*$/.test(
    text.slice(Math.max(first.index - 40, 0), first.index),
  );
  return isDeclaration || second !== undefined || !isInitializer;
}
