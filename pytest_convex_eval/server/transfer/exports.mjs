/**
 * Snapshots of all data, as `convex export` asks for them.
 * @import { Json } from "../protocol.d.ts"
 * @import { Services } from "../running/services.mjs"
 * @import { Row } from "./formats.mjs"
 */

import { STORAGE } from "../database/tables.mjs";
import { ApiError } from "../errors.mjs";
import { integer } from "../values/values.mjs";
import { documentsEntry, entryName } from "./formats.mjs";
import { writeZip } from "./zip.mjs";

/** Changes when an export does: what queries about exports depend on. */
export const EXPORTS = "_exports";
const README = "Tables of a Convex deployment, one folder each; values are in Convex's JSON form.\n";

export class Exports {
  /** The newest; older ones are nobody's any more. @type {{ timestamp: bigint, archive: Buffer } | null} */
  #latest = null;

  /** @param {Services} services */
  constructor(services) {
    this.services = services;
  }

  /** Makes a snapshot of this moment. @param {{ withFiles: boolean }} options */
  async create({ withFiles }) {
    const archive = await this.services.functions.transaction(() => writeZip(this.#entries(withFiles)), { writes: false });
    this.#latest = { timestamp: BigInt(Math.floor(this.services.clock.now())) * 1_000_000n, archive };
    this.services.changed(new Set([`/${EXPORTS}`]));
  }

  /** @returns {Json} */
  latest() {
    if (this.#latest === null) return null;
    const timestamp = integer(this.#latest.timestamp);
    return { state: "completed", start_ts: timestamp, complete_ts: timestamp, zip_object_key: String(this.#latest.timestamp) };
  }

  /** @param {string} timestamp @throws {ApiError} 404 */
  archive(timestamp) {
    if (String(this.#latest?.timestamp) !== timestamp || this.#latest === null) {
      throw new ApiError(404, "ExportNotFound", `There is no snapshot of ${timestamp}, or a newer one was made.`);
    }
    return this.#latest.archive;
  }

  /** @param {boolean} withFiles @returns {Generator<[string, Buffer]>} */
  *#entries(withFiles) {
    const { tables, storage } = this.services;
    yield ["README.md", Buffer.from(README)];
    for (const component of tables.schemas.keys()) {
      const own = tables.of(component).filter((table) => !table.isSystem);
      yield documentsEntry(component, "_tables", own.map(({ name, number }) => ({ name, id: number })));
      for (const table of own) yield documentsEntry(component, table.name, table.documents.values());
      if (!withFiles) continue;
      const files = tables.find(component, STORAGE)?.documents ?? new Map();
      yield documentsEntry(component, STORAGE, /** @type {Iterable<Row>} */ (files.values()));
      for (const id of files.keys()) yield [entryName(component, STORAGE, id), storage.bytesOf(id)];
    }
  }
}
