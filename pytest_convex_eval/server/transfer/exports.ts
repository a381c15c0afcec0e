/** Snapshots of all data, as `convex export` asks for them. */

import { STORAGE } from "../database/tables.ts";
import { ApiError } from "../errors.ts";
import { integer } from "../values/values.ts";
import { documentsEntry, entryName } from "./formats.ts";
import { writeZip } from "./zip.ts";
import type { Json } from "../protocol.ts";
import type { Services } from "../running/services.ts";
import type { Row } from "./formats.ts";

/** Changes when an export does: what queries about exports depend on. */
export const EXPORTS = "_exports";
const README =
  "Tables of a Convex deployment, one folder each; values are in Convex's JSON form.\n";

export class Exports {
  services: Services;
  /** The newest; older ones are nobody's any more. */
  #latest: { timestamp: bigint; archive: Buffer } | null = null;

  constructor(services: Services) {
    this.services = services;
  }

  /** Makes a snapshot of this moment. */
  async create({ withFiles }: { withFiles: boolean }) {
    const archive = await this.services.functions.transaction(
      () => writeZip(this.#entries(withFiles)),
      { writes: false },
    );
    this.#latest = {
      timestamp: BigInt(Math.floor(this.services.clock.now())) * 1_000_000n,
      archive,
    };
    this.services.changed(new Set([`/${EXPORTS}`]));
  }

  latest(): Json {
    if (this.#latest === null) return null;
    const timestamp = integer(this.#latest.timestamp);
    return {
      state: "completed",
      start_ts: timestamp,
      complete_ts: timestamp,
      zip_object_key: String(this.#latest.timestamp),
    };
  }

  /** @throws ApiError 404 */
  archive(timestamp: string) {
    if (String(this.#latest?.timestamp) !== timestamp || this.#latest === null) {
      throw new ApiError(
        404,
        "ExportNotFound",
        `There is no snapshot of ${timestamp}, or a newer one was made.`,
      );
    }
    return this.#latest.archive;
  }

  *#entries(withFiles: boolean): Generator<[string, Buffer]> {
    const { tables, storage } = this.services;
    yield ["README.md", Buffer.from(README)];
    for (const component of tables.schemas.keys()) {
      const own = tables.of(component).filter((table) => !table.isSystem);
      yield documentsEntry(
        component,
        "_tables",
        own.map(({ name, number }) => ({ name, id: number })),
      );
      for (const table of own)
        yield documentsEntry(component, table.name, table.documents.values());
      if (!withFiles) continue;
      const files = tables.find(component, STORAGE)?.documents ?? new Map();
      yield documentsEntry(component, STORAGE, files.values() as Iterable<Row>);
      for (const id of files.keys()) yield [entryName(component, STORAGE, id), storage.bytesOf(id)];
    }
  }
}
