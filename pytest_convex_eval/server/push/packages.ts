/**
 * Packages that "use node" modules import without having them in their bundles (`node.externalPackages` in
 * convex.json): installed here, once for each list of them, and without their scripts.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { Refusal } from "../errors.ts";
import type { NodeDependency } from "../protocol.ts";

/** npm, as it comes with this Node. */
const NPM = path.join(
  path.dirname(process.execPath),
  "..",
  "lib",
  "node_modules",
  "npm",
  "bin",
  "npm-cli.js",
);
const FLAGS = [
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  "--no-update-notifier",
  "--loglevel=error",
];
const PATIENCE_MILLISECONDS = 300_000;
const NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/i;
/** A version, and no other thing that npm would fetch from anywhere. */
const VERSION = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;
const SHOWN_CHARACTERS = 2000;
/** Imports from where it lies: its folder is the one that packages are looked for in. */
export const LOADER = "load.mjs";
const LOADER_SOURCE = "export default (specifier) => import(specifier);\n";

export class Packages {
  /** by folder */
  #installing: Map<string, Promise<void>> = new Map();
  #folder: string | null;

  /** @param folder where they are kept; null: nowhere beyond this process */
  constructor(folder: string | null) {
    this.#folder = folder;
  }

  get #root(): string {
    if (this.#folder !== null) return this.#folder;
    const made = mkdtempSync(path.join(tmpdir(), "convex-eval-packages-"));
    this.#folder = made;
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    return made;
  }

  /** Where packages are, or will be; null for none. */
  folderOf(dependencies: NodeDependency[]) {
    return dependencies.length === 0 ? null : path.join(this.#root, idOf(dependencies));
  }

  /** @throws Refusal npm does not give them */
  async install(dependencies: NodeDependency[]) {
    const folder = this.folderOf(dependencies);
    if (folder === null || existsSync(folder)) return;
    for (const { name, version } of dependencies) {
      if (!NAME.test(name) || !VERSION.test(version))
        throw refuse(`${name}@${version} is no version of a package`);
    }
    const known = this.#installing.get(folder);
    if (known !== undefined) return await known;
    const installed = install(folder, dependencies).finally(() => this.#installing.delete(folder));
    this.#installing.set(folder, installed);
    await installed;
  }
}

/** Tells lists of packages apart. */
export function idOf(dependencies: NodeDependency[]) {
  const list = dependencies.map(({ name, version }) => `${name}@${version}`).sort();
  return createHash("sha256").update(list.join("\n")).digest("hex").slice(0, 32);
}

/** All of them or none. */
async function install(folder: string, dependencies: NodeDependency[]) {
  mkdirSync(path.dirname(folder), { recursive: true });
  const scratch = mkdtempSync(`${folder}.`);
  try {
    const wanted = Object.fromEntries(dependencies.map(({ name, version }) => [name, version]));
    writeFileSync(
      path.join(scratch, "package.json"),
      JSON.stringify({ private: true, dependencies: wanted }),
    );
    await npm(scratch);
    writeFileSync(path.join(scratch, LOADER), LOADER_SOURCE);
    renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function npm(folder: string): Promise<void> {
  const cache = path.join(folder, "cache");
  const env = { npm_config_cache: cache, ...process.env };
  const child = spawn(process.execPath, [NPM, "install", ...FLAGS], {
    ...{ cwd: folder, env, timeout: PATIENCE_MILLISECONDS },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr
    .setEncoding("utf8")
    .on("data", (text: string) => (said = (said + text).slice(-SHOWN_CHARACTERS)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      rmSync(cache, { recursive: true, force: true });
      if (code === 0) resolve();
      else reject(refuse(`npm did not install them: ${said.trim() || "it was stopped"}`));
    });
  });
}

function refuse(why: string) {
  return new Refusal(
    "InvalidExternalPackages",
    `The external packages of convex.json can't be had: ${why}`,
  );
}
