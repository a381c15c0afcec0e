/** Pushed modules: their paths, hashes, and where their code comes from. */

import { createHash } from "node:crypto";
import { SourceMap } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { deflateRaw } from "node:zlib";

import { ApiError, Refusal } from "../errors.ts";
import { displaySize } from "../values/values.ts";
import type { Frame, Module, ModuleHash, Position } from "../protocol.ts";

const MAX_PATH_COMPONENT = 64;
const MAX_MODULES = 4096;
/** Bytes of what one app or component pushes. */
const SIZE_LIMITS = { zipped: 90_000_000, unzipped: 230_000_000 };
const deflate = promisify(deflateRaw);

/** Chunks shared by modules lie here and are no functions' modules. */
export function isChunk(modulePath: string) {
  return modulePath.startsWith("_deps/");
}

/** What get_config_hashes and the CLI compare: hex SHA-256 of source and source map. */
export function moduleHash(module: Module) {
  return createHash("sha256")
    .update(module.source)
    .update(module.sourceMap ?? "")
    .digest("hex");
}

/** @throws Refusal BadConvexModuleIdentifier, InvalidModules */
export function checkPaths(modules: Iterable<Module>) {
  let count = 0;
  for (const module of modules) {
    for (const part of module.path.split("/")) checkPathComponent(module, part);
    if (!isChunk(module.path)) count += 1;
  }
  if (count > MAX_MODULES) {
    throw new Refusal(
      "InvalidModules",
      `Too many function files (${count} > maximum ${MAX_MODULES}) in "convex/". See our docs ` +
        "(https://docs.convex.dev/using/writing-convex-functions#using-libraries) for more details.",
    );
  }
}

/**
 * Before any of it is evaluated.
 * @param modules of an app or a component, source maps included
 * @param limits bytes
 * @throws Refusal ModulesTooLarge
 */
export async function checkSizes(
  modules: Iterable<Module>,
  limits: typeof SIZE_LIMITS = SIZE_LIMITS,
) {
  const texts = [...modules].flatMap(({ source, sourceMap = "" }) => [source, sourceMap]);
  const check = (what: "zipped" | "unzipped", bytes: number) => {
    if (bytes <= limits[what]) return;
    const sizes = `${displaySize(bytes)} > maximum size ${displaySize(limits[what])}`;
    throw new Refusal(
      "ModulesTooLarge",
      `Total module size exceeded the ${what} maximum (${sizes})`,
    );
  };
  const unzipped = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  check("unzipped", unzipped);
  // What is small enough as it is need not be packed.
  if (unzipped <= limits.zipped) return;
  let zipped = 0;
  for (const text of texts) zipped += (await deflate(text)).length;
  check("zipped", zipped);
}

function checkPathComponent(module: Module, part: string) {
  const refuse = (reason: string) =>
    new Refusal(
      "BadConvexModuleIdentifier",
      `${module.path} is not a valid path to a Convex module. ${reason}`,
      { position: new Origins([module]).start(module.path) },
    );
  if (part.length > MAX_PATH_COMPONENT) {
    throw refuse(
      `Path component is too long (${part.length} > maximum ${MAX_PATH_COMPONENT}): ${part}.`,
    );
  }
  if (!/^[A-Za-z0-9_.]*$/.test(part)) {
    throw refuse(
      `Path component ${part} can only contain alphanumeric characters, underscores, or periods.`,
    );
  }
  if (!/[A-Za-z0-9]/.test(part)) {
    throw refuse(`Path component ${part} must have at least one alphanumeric character.`);
  }
}

/**
 * The modules of a push: the changed ones, and those of the live deployment that it names by hash.
 * @returns in the order of their paths
 */
export function assemble(
  changed: Module[],
  unchanged: ModuleHash[],
  live: Map<string, Module>,
): Map<string, Module> {
  const modules = [...changed];
  for (const { path: modulePath, environment, sha256 } of unchanged) {
    const known = live.get(modulePath);
    if (known === undefined || known.environment !== environment || moduleHash(known) !== sha256) {
      throw new ApiError(
        409,
        "MissingExistingModule",
        `The push leaves out ${modulePath} as unchanged, but this deployment does not have it. Push again.`,
      );
    }
    modules.push(known);
  }
  modules.sort((a, b) => (a.path < b.path ? -1 : 1));
  return new Map(modules.map((module) => [module.path, module]));
}

/** Leads from places in bundles back to the project's files, through the pushed source maps. */
export class Origins {
  #modules: Map<string, Module>;
  #maps: Map<string, SourceMap | null> = new Map();

  constructor(modules: Iterable<Module>) {
    this.#modules = new Map([...modules].map((module) => [module.path, module]));
  }

  /**
   * The source that a place in a bundle comes from, as the map names it (`../convex/a.ts`: relative to
   * the bundle), with line and column from 1.
   */
  source({ module, line, column }: { module: string; line: number; column: number }) {
    const entry = this.#map(module)?.findEntry(line - 1, column - 1);
    if (entry === undefined || !("originalSource" in entry) || !entry.originalSource) return null;
    return {
      source: entry.originalSource,
      line: entry.originalLine + 1,
      column: entry.originalColumn + 1,
    };
  }

  /** The same as a place in the project. */
  position(place: Frame | { module: string; line: number; column: number }) {
    const found = this.source(place);
    return found === null ? null : inProject(place.module, found);
  }

  /** The beginning of the file that a module was bundled from. */
  start(modulePath: string): Position | null {
    const sources = this.#map(modulePath)?.payload.sources ?? [];
    const stem = modulePath.replace(/\.js$/, "");
    const own = sources.find((each) => path.posix.parse(each).name === path.posix.basename(stem));
    return own === undefined ? null : inProject(modulePath, { source: own, line: 1, column: 1 });
  }

  /**
   * Where `text` first stands in the project's own part of a module's bundle, at or after `after`; as
   * a whole word where it begins with a letter.
   */
  find(modulePath: string, text: string, after?: string): Position | null {
    const source = this.#modules.get(modulePath)?.source;
    if (source === undefined) return null;
    const from = after === undefined ? 0 : Math.max(source.indexOf(after), 0);
    for (let at = source.indexOf(text, from); at >= 0; at = source.indexOf(text, at + 1)) {
      if (/\w/.test(text.charAt(0)) && /[\w$]/.test(source.charAt(at - 1))) continue;
      const position = this.position({ module: modulePath, ...lineAndColumn(source, at) });
      if (position !== null && isOwn(position)) return position;
    }
    return null;
  }

  #map(modulePath: string) {
    const known = this.#maps.get(modulePath);
    if (known !== undefined) return known;
    const map = parseMap(this.#modules.get(modulePath)?.sourceMap);
    this.#maps.set(modulePath, map);
    return map;
  }
}

function parseMap(text: string | undefined) {
  if (text === undefined) return null;
  try {
    return new SourceMap(JSON.parse(text));
  } catch {
    return null; // Made by a bundler; without one, errors have no position.
  }
}

/** Whether a file is the project's own and no library's. */
export function isOwn(position: Position) {
  return !position.path.includes("node_modules/");
}

function lineAndColumn(source: string, offset: number) {
  const before = source.lastIndexOf("\n", offset - 1);
  let line = 1;
  for (let at = source.indexOf("\n"); at >= 0 && at < offset; at = source.indexOf("\n", at + 1))
    line += 1;
  return { line, column: offset - before };
}

/** @returns null for a file outside of the project */
function inProject(
  modulePath: string,
  { source, line, column }: { source: string; line: number; column: number },
): Position | null {
  // Bundles are as if written to a folder beside `convex/`.
  const relative = path.posix.join("out", path.posix.dirname(modulePath), source);
  return relative.startsWith("..") ? null : { path: relative, line, column };
}
