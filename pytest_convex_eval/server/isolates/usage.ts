/** What a process has used, as Linux says it. */

import { closeSync, openSync, readSync } from "node:fs";

/** The kernel's clock ticks a second, as /proc counts: 100 on every Linux that Node runs on. */
const TICKS = 100;
/** Longer than any line of /proc that is read here. */
const BYTES = 1024;

/** Null for a process that is gone, and where the system does not say. */
export class Usage {
  #line = Buffer.allocUnsafe(BYTES);
  #stat;
  #statm;

  constructor(pid: number | undefined) {
    // Each call reads one: with the file open already that takes a third of the time.
    this.#stat = open(pid, "stat");
    this.#statm = open(pid, "statm");
  }

  /** CPU seconds that it has used. */
  cpuSeconds() {
    const fields = this.#read(this.#stat)?.split(") ").at(-1)?.split(" ");
    return fields === undefined ? null : (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  residentBytes() {
    const pages = this.#read(this.#statm)?.split(" ")[1];
    return pages === undefined ? null : Number(pages) * 4096;
  }

  close() {
    for (const file of [this.#stat, this.#statm]) if (file !== null) closeSync(file);
    this.#stat = this.#statm = null;
  }

  #read(file: number | null) {
    if (file === null) return null;
    try {
      return this.#line.toString("latin1", 0, readSync(file, this.#line, 0, BYTES, 0));
    } catch {
      return null;
    }
  }
}

function open(pid: number | undefined, name: string) {
  try {
    return openSync(`/proc/${pid}/${name}`, "r");
  } catch {
    return null;
  }
}
