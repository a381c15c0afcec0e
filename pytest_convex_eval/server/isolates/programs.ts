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

export class Programs {
  /** Without links: Node's permission model compares paths so. */
  readonly folder: string;

  /** @param cache a folder that outlives this process; null for a temporary one, which goes with it */
  constructor(cache: string | null) {
    this.folder = realpathSync((cache === null ? null : kept(cache)) ?? temporary());
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
  if (existsSync(folder)) return folder;
  let made = null;
  try {
    mkdirSync(cache, { recursive: true });
    made = write(cache);
    renameSync(made, folder);
  } catch {
    if (made !== null) rmSync(made, { recursive: true, force: true });
  }
  return existsSync(folder) ? folder : null;
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
