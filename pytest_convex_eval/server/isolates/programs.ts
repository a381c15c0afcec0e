/**
 * What runs inside isolates, as JavaScript in a folder of its own: all of ours that they can read.
 *
 * Node would strip the types of each module anew in each process, which takes three times as long as all that an
 * isolate does to start (measured on Node 24.19); here it is done once, for as long as the sources stay the same.
 */

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("..", import.meta.url));
/** The rooms that those programs import from. */
const ROOMS = ["inside", "values"];
/** Raise it when what is written of the same sources changes. */
const FORMAT = 1;
const HOUR_MS = 3_600_000;
/** A folder that no server has used for so long is removed: those that run say each hour that they do. */
const UNUSED_MS = 7 * 24 * HOUR_MS;

export class Programs {
  /** Without links: Node's permission model compares paths so. */
  readonly folder: string;

  /** @param cache a folder that outlives this process; null for a temporary one, which goes with it */
  constructor(cache: string | null) {
    const folder = cache === null ? null : kept(cache);
    if (folder !== null) setInterval(used, HOUR_MS, folder).unref();
    this.folder = realpathSync(folder ?? temporary());
  }

  path(program: "program" | "evaluator") {
    return path.join(this.folder, "inside", `${program}.mjs`);
  }
}

function temporary(): string {
  const made = write(tmpdir());
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** The folder in `cache`, written where it is not there yet; null where it can't be. Others may write it at the same time. */
function kept(cache: string): string | null {
  const digest = createHash("sha256").update(`${FORMAT} ${process.version}`);
  for (const file of sources())
    digest.update(`\0${file}\0`).update(readFileSync(path.join(SERVER, file)));
  const folder = path.join(cache, `inside-${digest.digest("hex").slice(0, 20)}`);
  if (existsSync(folder)) {
    used(folder);
    return folder;
  }
  let made = null;
  try {
    mkdirSync(cache, { recursive: true });
    made = write(cache);
    renameSync(made, folder);
    prune(cache);
  } catch {
    if (made !== null) rmSync(made, { recursive: true, force: true });
  }
  return existsSync(folder) ? folder : null;
}

/** Says that a server runs from `folder`. */
function used(folder: string) {
  try {
    const now = new Date();
    utimesSync(folder, now, now);
  } catch {
    // Somebody else's cache, or one that can't be written to: then nobody prunes it either.
  }
}

/** Removes what servers of other versions wrote into `cache` and no server uses any more. */
function prune(cache: string) {
  const oldest = Date.now() - UNUSED_MS;
  for (const name of readdirSync(cache).filter((each) => /^(convex-eval-)?inside-/.test(each))) {
    const folder = path.join(cache, name);
    try {
      if (statSync(folder).mtimeMs < oldest) rmSync(folder, { recursive: true, force: true });
    } catch {
      // Another server removes it at the same time.
    }
  }
}

/** Writes all programs into a new folder below `parent`. */
function write(parent: string): string {
  // Loaded where it is needed: it brings a compiler of its own.
  const { stripTypeScriptTypes } = process.getBuiltinModule("node:module");
  const folder = mkdtempSync(path.join(parent, "convex-eval-inside-"));
  for (const room of ROOMS) mkdirSync(path.join(folder, room));
  for (const file of sources()) {
    const plain = stripTypeScriptTypes(readFileSync(path.join(SERVER, file), "utf8"));
    const script = plain.replace(/(\bfrom "\.{1,2}\/[^"]+)\.ts"/g, '$1.mjs"');
    writeFileSync(path.join(folder, file.replace(/\.ts$/, ".mjs")), script);
  }
  return folder;
}

function sources(): string[] {
  return ROOMS.flatMap((room) =>
    readdirSync(path.join(SERVER, room))
      .filter((name) => name.endsWith(".ts"))
      .sort()
      .map((name) => path.join(room, name)),
  );
}
