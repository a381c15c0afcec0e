/**
 * Imports of data, as `convex import` makes them: parts of a file are uploaded, what they hold is looked at and
 * shown, and once it is confirmed all of it is written in one transaction.
 */

import { randomUUID } from "node:crypto";

import { STORAGE } from "../database/tables.ts";
import { documentOf } from "../database/documents.ts";
import { UserError } from "../database/user_error.ts";
import { APP } from "../push/definitions.ts";
import { ApiError } from "../errors.ts";
import { pushedNameProblem } from "../values/identifiers.ts";
import { decodeId } from "../values/ids.ts";
import { integer, parseValue, ValueError } from "../values/values.ts";
import { fileKey, FormatError, readData } from "./formats.ts";
import { ZipError } from "./zip.ts";
import type { Json } from "../protocol.ts";
import type { Transaction } from "../database/transaction.ts";
import type { Table } from "../database/tables.ts";
import type { Services } from "../running/services.ts";
import type { Imported, ImportedTable, Row } from "./formats.ts";

/** Changes when an import does: what queries about imports depend on. */
export const IMPORTS = "_imports";
const MODES = ["requireEmpty", "append", "replace", "replaceAll"] as const;
/** Imports that can still be asked about. */
const KEPT = 20;

export type Mode = (typeof MODES)[number];
export type Import = { mode: Mode; data: Imported | null; state: { [key: string]: Json } };

export class Imports {
  services: Services;
  /** Parts by their number, by upload token. */
  #uploads: Map<string, Map<number, Buffer>> = new Map();
  #imports: Map<string, Import> = new Map();

  constructor(services: Services) {
    this.services = services;
  }

  /** @returns the token of a new upload */
  startUpload(): string {
    const token = randomUUID();
    this.#uploads.set(token, new Map());
    forgetOldest(this.#uploads);
    return token;
  }

  /** @throws ApiError */
  addPart(token: string | null, number: number, bytes: Buffer) {
    this.#parts(token).set(number, bytes);
  }

  #parts(token: string | null) {
    const parts = this.#uploads.get(token ?? "");
    if (parts === undefined)
      throw new ApiError(400, "InvalidUploadToken", "There is no such upload.");
    return parts;
  }

  /** Looks at what was uploaded. @returns the import's id */
  finishUpload(
    token: string,
    {
      format,
      mode: given,
      table,
      component,
    }: { format: string; mode: string; table: string | null; component: string | null },
  ): string {
    const parts = [...this.#parts(token)].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
    this.#uploads.delete(token);
    const mode = MODES.find((each) => each === given);
    if (mode === undefined)
      throw new ApiError(400, "ImportModeInvalid", `Unknown mode ${JSON.stringify(given)}.`);
    const id = randomUUID();
    const made: Import = { mode, data: null, state: {} };
    this.#imports.set(id, made);
    forgetOldest(this.#imports);
    try {
      made.data = readData(Buffer.concat(parts), { format, table, component: component ?? APP });
      const { message, deletes } = this.#preview(made.data.tables, mode);
      made.state = {
        state: "waiting_for_confirmation",
        message_to_confirm: message,
        require_manual_confirmation: deletes,
      };
    } catch (error) {
      made.state = failed(error);
    }
    return id;
  }

  /** What the import is going to do. @throws UserError */
  #preview(imported: ImportedTable[], mode: Mode) {
    let deletes = false;
    const lines = imported.map(({ component, table: name, rows }) => {
      const problem = name === STORAGE ? null : pushedNameProblem(name);
      if (problem !== null)
        throw new UserError(`Invalid table name: ${JSON.stringify(name)}. ${problem}`);
      if (!this.services.tables.schemas.has(component))
        throw new UserError(`there is no component ${component}`);
      const size = this.services.tables.find(component, name)?.documents.size ?? 0;
      if (size > 0 && mode === "requireEmpty") {
        throw new UserError(
          `table "${name}" has documents already: pass --append to keep them, --replace to replace them, or --replace-all`,
        );
      }
      const isReplaced = size > 0 && mode !== "append";
      deletes ||= isReplaced;
      return `table ${name}: ${rows.length} documents to add${isReplaced ? `, ${size} to delete` : ""}`;
    });
    if (mode === "replaceAll") {
      for (const table of this.#others(imported)) {
        if (table.documents.size === 0) continue;
        deletes = true;
        lines.push(`table ${table.name}: ${table.documents.size} to delete`);
      }
    }
    return { message: lines.join("\n"), deletes };
  }

  /** Tables that are not in the import; files stay when it has none. */
  #others(imported: ImportedTable[]) {
    const named = new Set(imported.map(({ component, table }) => `${component}/${table}`));
    return this.services.tables
      .all()
      .filter((table) => !table.isSystem && !named.has(`${table.component}/${table.name}`));
  }

  /** @throws ApiError */
  async perform(id: string) {
    const found = this.#imports.get(id);
    if (found === undefined || found.data === null)
      throw new ApiError(400, "ImportNotFound", "There is no such import.");
    const { data, mode } = found;
    found.data = null;
    try {
      const written = await this.services.functions.transaction((transaction) =>
        this.#write(transaction, data, mode),
      );
      found.state = { state: "completed", num_rows_written: integer(BigInt(written)) };
    } catch (error) {
      found.state = failed(error);
    }
    this.services.changed(new Set([`/${IMPORTS}`]));
  }

  /** @returns documents written */
  #write(transaction: Transaction, { tables: imported, files }: Imported, mode: Mode): number {
    const { tables, storage } = this.services;
    transaction.isLimited = transaction.isUndoable = false; // Tables may get other numbers.
    this.#preview(imported, mode);
    if (mode !== "append") {
      const replaced = imported.flatMap(
        ({ component, table }) => tables.find(component, table) ?? [],
      );
      for (const table of [...replaced, ...(mode === "replaceAll" ? this.#others(imported) : [])]) {
        for (const document of [...table.documents.values()]) {
          if (table.name === STORAGE)
            storage.delete(transaction, table.component, String(document["_id"]));
          else transaction.drop(table, document);
        }
      }
    }
    const targets = imported.map((each) => ({
      ...each,
      target: transaction.table(each.component, each.table),
    }));
    const takeBack = tables.renumber(numbersOf(targets));
    try {
      for (const { target, rows } of targets) {
        for (const [i, row] of rows.entries()) {
          this.#writeRow(transaction, target, row, files, `${target.name}, document ${i + 1}`);
        }
      }
    } catch (error) {
      takeBack();
      throw error;
    }
    transaction.afterwards(() => this.services.journal?.tables(tables));
    return imported.reduce((sum, { rows }) => sum + rows.length, 0);
  }

  #writeRow(
    transaction: Transaction,
    table: Table,
    row: Row,
    files: Imported["files"],
    where: string,
  ) {
    const { tables, storage } = this.services;
    const { _id: givenId, _creationTime: givenTime, ...fields } = row;
    if (
      givenId !== undefined &&
      (typeof givenId !== "string" || decodeId(givenId)?.table !== table.number)
    )
      throw new UserError(`${where}: ${JSON.stringify(givenId)} is no id of it`);
    if (givenTime !== undefined && typeof givenTime !== "number")
      throw new UserError(`${where}: ${JSON.stringify(givenTime)} is no time of creation`);
    const id = givenId ?? tables.newId(table);
    if (table.documents.has(id))
      throw new UserError(`${where}: there is a document with the id ${id} already`);
    const time = givenTime ?? tables.newCreationTime(transaction.now);
    if (table.name === STORAGE) {
      const bytes = files.get(fileKey(table.component, id));
      if (bytes === undefined) throw new UserError(`${where}: the archive has no file ${id}`);
      const { contentType } = fields;
      storage.store(transaction, table.component, {
        ...{ bytes, id, creationTime: time },
        contentType: typeof contentType === "string" ? contentType : null,
      });
      return;
    }
    try {
      const system = { _creationTime: time, _id: id };
      transaction.write(table, documentOf(parseValue(fields) as Row, system));
    } catch (error) {
      if (error instanceof UserError || error instanceof ValueError)
        throw new UserError(`${where}: ${error.message}`);
      throw error;
    }
  }

  describe(id: string): Json {
    const found = this.#imports.get(id);
    return found === undefined ? null : { _id: id, _creationTime: 0, state: found.state };
  }

  list(): Json[] {
    return [...this.#imports.keys()].map((id) => this.describe(id));
  }
}

/** Documents keep their ids, and ids say the number of their table. */
function numbersOf(targets: { target: Table; rows: Row[] }[]) {
  const wanted: Map<Table, number> = new Map();
  for (const { target, rows } of targets) {
    const id = rows.find((row) => typeof row["_id"] === "string")?.["_id"];
    const number = typeof id === "string" ? decodeId(id)?.table : undefined;
    if (number !== undefined && number !== target.number) wanted.set(target, number);
  }
  return wanted;
}

function failed(error: unknown) {
  const isTheirs =
    error instanceof UserError || error instanceof FormatError || error instanceof ZipError;
  if (!isTheirs) console.error(error);
  return { state: "failed", error_message: error instanceof Error ? error.message : String(error) };
}

function forgetOldest(map: Map<string, unknown>) {
  for (const key of map.keys()) if (map.size > KEPT) map.delete(key);
}
