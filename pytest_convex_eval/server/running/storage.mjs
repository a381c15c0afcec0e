/**
 * Files: their rows in `_storage` are the transactions', their bytes are kept here, or in the store where there is one.
 * @import { Journal, SavedFile } from "../persistence/journal.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { Document } from "../database/sorted_index.mjs"
 */

import { createHash, randomBytes, randomUUID } from "node:crypto";

import { STORAGE } from "../database/tables.mjs";
import { UserError } from "../database/user_error.mjs";

const TOKEN_MILLISECONDS = 3_600_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @typedef {{ bytes: Buffer, contentType: string | null }} File */

export class Storage {
  /** `bytes` null: the store has them. @type {Map<string, { id: string, component: string, bytes: Buffer | null }>} by the UUID of its URL */
  #files = new Map();
  /** @type {Map<string, string>} UUIDs by storage id */
  #uuids = new Map();
  /** @type {Map<string, { component: string, until: number }>} */
  #tokens = new Map();

  /** @param {{ cloud: string, site: string }} urls @param {() => Journal | null} journal @param {() => number} now milliseconds */
  constructor(urls, journal, now) {
    this.urls = urls;
    this.journal = journal;
    this.now = now;
  }

  /** What the store has. @param {Iterable<SavedFile>} files */
  restore(files) {
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

  /** Where a file can be posted to, for an hour. @param {string} component */
  uploadUrl(component) {
    const token = randomBytes(24).toString("base64url");
    this.#tokens.set(token, { component, until: this.now() + TOKEN_MILLISECONDS });
    return `${this.urls.cloud}/api/storage/upload?token=${token}`;
  }

  /** The component that a token lets upload to; null when it lets nobody. @param {string | null} token */
  redeem(token) {
    const found = token === null ? undefined : this.#tokens.get(token);
    return found === undefined || found.until < this.now() ? null : found.component;
  }

  /**
   * @param {Transaction} transaction @param {string} component
   * @param {File & { sha256?: string, id?: string, creationTime?: number }} file `sha256` in hexadecimal or base64: it
   *   must be right; `id` and `creationTime` of a file that had them before
   * @returns {string} its id
   */
  store(transaction, component, { bytes, contentType, sha256, id: givenId, creationTime }) {
    const digest = createHash("sha256").update(bytes).digest();
    if (sha256 !== undefined && sha256 !== digest.toString("hex") && sha256 !== digest.toString("base64")) {
      throw new UserError("The file's sha256 is not the one that was given.");
    }
    const table = transaction.tables.create(component, STORAGE);
    const id = givenId ?? transaction.tables.newId(table);
    const uuid = randomUUID();
    transaction.put(table, {
      _creationTime: creationTime ?? transaction.tables.newCreationTime(transaction.now),
      _id: id,
      ...(contentType === null ? {} : { contentType }),
      sha256: digest.toString("base64"),
      size: bytes.length,
    });
    transaction.afterwards(() => {
      /** @type {{ id: string, component: string, bytes: Buffer | null }} */
      const file = { id, component, bytes };
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

  /** @param {Transaction} transaction @param {string} component @param {string} storageId */
  delete(transaction, component, storageId) {
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

  /** @param {Transaction} transaction @param {string} component @param {string} storageId @returns {string | null} */
  url(transaction, component, storageId) {
    const document = this.#find(transaction, component, storageId);
    const uuid = document === null ? undefined : this.#uuids.get(String(document["_id"]));
    return uuid === undefined ? null : `${this.urls.cloud}/api/storage/${uuid}`;
  }

  /** @param {Transaction} transaction @param {string} component @param {string} storageId */
  metadata(transaction, component, storageId) {
    const document = this.#find(transaction, component, storageId);
    if (document === null) return null;
    const { _id, sha256, size, contentType = null } = document;
    return { storageId: _id, sha256: Buffer.from(String(sha256), "base64").toString("hex"), size, contentType };
  }

  /** @param {Transaction} transaction @param {string} component @param {string} storageId @returns {File | null} */
  load(transaction, component, storageId) {
    const document = this.#find(transaction, component, storageId);
    const file = document === null ? null : this.at(this.#uuids.get(String(document["_id"])) ?? "");
    return file === null ? null : { bytes: file.bytes, contentType: contentTypeOf(document) };
  }

  /** The bytes of a file whose row is there. @param {string} id */
  bytesOf(id) {
    const file = this.at(this.#uuids.get(id) ?? "");
    if (file === null) throw new Error(`The bytes of ${id} are lost.`);
    return file.bytes;
  }

  /** What is served at a URL. @param {string} uuid */
  at(uuid) {
    const file = this.#files.get(uuid);
    if (file === undefined) return null;
    const bytes = file.bytes ?? this.journal()?.store.file(uuid);
    if (bytes === undefined) throw new Error(`The bytes of ${uuid} are lost.`);
    return { ...file, bytes };
  }

  /** @param {Transaction} transaction @param {string} component @param {string} storageId @returns {Document | null} */
  #find(transaction, component, storageId) {
    const table = transaction.tables.find(component, STORAGE);
    transaction.dependOn(component, STORAGE);
    const id = UUID.test(storageId) ? this.#files.get(storageId)?.id : storageId;
    const owner = id === undefined ? undefined : transaction.tables.tableOf(id);
    if (owner === null || (owner !== undefined && owner.name !== STORAGE)) {
      throw new UserError(
        `Invalid storage ID: ${JSON.stringify(storageId)}. Storage ID should be an Id of '_storage' table, or a UUID string.`,
      );
    }
    return table?.documents.get(id ?? "") ?? null;
  }
}

/** @param {Document | null} document */
function contentTypeOf(document) {
  const { contentType } = document ?? {};
  return typeof contentType === "string" ? contentType : null;
}
