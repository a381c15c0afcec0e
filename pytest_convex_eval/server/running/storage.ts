/** Files: their rows in `_storage` are the transactions', their bytes are kept here, or in the store where there is one. */

import { createHash, randomBytes, randomUUID } from "node:crypto";

import { STORAGE } from "../database/tables.ts";
import { UserError } from "../database/user_error.ts";
import type { Journal, SavedFile } from "../persistence/journal.ts";
import type { Transaction } from "../database/transaction.ts";
import type { Document } from "../database/sorted_index.ts";

const TOKEN_MILLISECONDS = 3_600_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether it could be what a file's URL ends in. */
export function isFilesPath(text: string): boolean {
  return UUID.test(text);
}

export type File = { bytes: Buffer; contentType: string | null };

export class Storage {
  urls: { cloud: string; site: string };
  journal: () => Journal | null;
  now: () => number;
  /** `bytes` null: the store has them. by the UUID of its URL */
  #files: Map<string, { id: string; component: string; bytes: Buffer | null }> = new Map();
  /** UUIDs by storage id */
  #uuids: Map<string, string> = new Map();
  /** By storage id: what a transaction has stored, which nobody else knows yet. */
  #uncommitted: WeakMap<Transaction, Map<string, { uuid: string; bytes: Buffer }>> = new WeakMap();
  #tokens: Map<string, { component: string; until: number }> = new Map();

  /** @param now milliseconds */
  constructor(
    urls: { cloud: string; site: string },
    journal: () => Journal | null,
    now: () => number,
  ) {
    this.urls = urls;
    this.journal = journal;
    this.now = now;
  }

  /** What the store has. */
  restore(files: Iterable<SavedFile>) {
    for (const { uuid, id, component } of files) {
      this.#files.set(uuid, { id, component, bytes: null });
      this.#uuids.set(id, uuid);
    }
  }

  clear() {
    this.#files.clear();
    this.#uuids.clear();
    this.#tokens.clear();
  }

  /** Where a file can be posted to, for an hour. */
  uploadUrl(component: string) {
    const token = randomBytes(24).toString("base64url");
    this.#tokens.set(token, { component, until: this.now() + TOKEN_MILLISECONDS });
    return `${this.urls.cloud}/api/storage/upload?token=${token}`;
  }

  /** The component that a token lets upload to; null when it lets nobody. */
  redeem(token: string | null) {
    const found = token === null ? undefined : this.#tokens.get(token);
    return found === undefined || found.until < this.now() ? null : found.component;
  }

  /**
   * @param file `sha256` in hexadecimal or base64: it
   * must be right; `id` and `creationTime` of a file that had them before
   * @returns its id
   */
  store(
    transaction: Transaction,
    component: string,
    {
      bytes,
      contentType,
      sha256,
      id: givenId,
      creationTime,
    }: File & { sha256?: string; id?: string; creationTime?: number },
  ): string {
    const digest = createHash("sha256").update(bytes).digest();
    if (
      sha256 !== undefined &&
      sha256 !== digest.toString("hex") &&
      sha256 !== digest.toString("base64")
    ) {
      throw new UserError("The file's sha256 is not the one that was given.");
    }
    const table = transaction.tables.create(component, STORAGE);
    const id = givenId ?? transaction.tables.newId(table);
    const uuid = randomUUID();
    const own = this.#uncommitted.get(transaction) ?? new Map();
    this.#uncommitted.set(transaction, own.set(id, { uuid, bytes }));
    transaction.put(table, {
      _creationTime: creationTime ?? transaction.tables.newCreationTime(transaction.now),
      _id: id,
      ...(contentType === null ? {} : { contentType }),
      sha256: digest.toString("base64"),
      size: bytes.length,
    });
    transaction.afterwards(() => {
      const file: { id: string; component: string; bytes: Buffer | null } = {
        id,
        component,
        bytes,
      };
      this.#files.set(uuid, file);
      this.#uuids.set(id, uuid);
      const journal = this.journal();
      if (journal === null) return;
      journal.file({ uuid, id, component }, bytes);
      // The commit that this belongs to is handed over when it is done.
      queueMicrotask(() => void journal.durable().then(() => (file.bytes = null)));
    });
    return id;
  }

  delete(transaction: Transaction, component: string, storageId: string) {
    const document = this.#find(transaction, component, storageId);
    if (document === null) throw new UserError(`storage id ${storageId} not found`);
    const table = transaction.tables.create(component, STORAGE);
    transaction.drop(table, document);
    const id = String(document["_id"]);
    transaction.afterwards(() => {
      const uuid = this.#uuids.get(id) ?? "";
      this.journal()?.fileOver(uuid);
      this.#files.delete(uuid);
      this.#uuids.delete(id);
    });
  }

  url(transaction: Transaction, component: string, storageId: string): string | null {
    const document = this.#find(transaction, component, storageId);
    if (document === null) return null;
    const id = String(document["_id"]);
    const uuid = this.#uncommitted.get(transaction)?.get(id)?.uuid ?? this.#uuids.get(id);
    return uuid === undefined ? null : `${this.urls.cloud}/api/storage/${uuid}`;
  }

  metadata(transaction: Transaction, component: string, storageId: string) {
    const document = this.#find(transaction, component, storageId);
    if (document === null) return null;
    const { _id, sha256, size, contentType = null } = document;
    return {
      storageId: _id,
      sha256: Buffer.from(String(sha256), "base64").toString("hex"),
      size,
      contentType,
    };
  }

  load(transaction: Transaction, component: string, storageId: string): File | null {
    const document = this.#find(transaction, component, storageId);
    if (document === null) return null;
    const id = String(document["_id"]);
    const bytes =
      this.#uncommitted.get(transaction)?.get(id)?.bytes ??
      this.at(this.#uuids.get(id) ?? "")?.bytes;
    return bytes === undefined ? null : { bytes, contentType: contentTypeOf(document) };
  }

  /** The bytes of a file whose row is there. */
  bytesOf(id: string) {
    const file = this.at(this.#uuids.get(id) ?? "");
    if (file === null) throw new Error(`The bytes of ${id} are lost.`);
    return file.bytes;
  }

  /** What is served at a URL. */
  at(uuid: string) {
    const file = this.#files.get(uuid);
    if (file === undefined) return null;
    const bytes = file.bytes ?? this.journal()?.store.file(uuid);
    if (bytes === undefined) throw new Error(`The bytes of ${uuid} are lost.`);
    return { ...file, bytes };
  }

  #find(transaction: Transaction, component: string, storageId: string): Document | null {
    const table = transaction.tables.find(component, STORAGE);
    transaction.dependOn(component, STORAGE);
    const id = UUID.test(storageId) ? this.#files.get(storageId)?.id : storageId;
    const owner = id === undefined ? undefined : transaction.tables.tableOf(id);
    if (owner !== undefined && owner !== null && owner.name !== STORAGE) {
      throw new UserError(
        "Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'.",
      );
    }
    if (owner === null) {
      throw new UserError(
        `Invalid storage ID: ${JSON.stringify(storageId)}. Storage ID should be an Id of '_storage' table, or a UUID string.`,
      );
    }
    return table?.documents.get(id ?? "") ?? null;
  }
}

function contentTypeOf(document: Document | null) {
  const { contentType } = document ?? {};
  return typeof contentType === "string" ? contentType : null;
}
