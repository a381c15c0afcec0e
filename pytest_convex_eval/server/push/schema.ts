/** A schema module's export, checked table by table as the backend does. */

import { MAX_TABLES } from "../database/tables.ts";
import { Refusal, requireKnown, Unsupported } from "../errors.ts";
import { Origins } from "./modules.ts";
import { allowsVector, at, parseValidator, print } from "../values/validators.ts";
import { fieldPathProblem, pushedNameProblem } from "../values/identifiers.ts";
import { SYSTEM_FIELDS } from "../values/validation.ts";
import type {
  DatabaseIndex,
  Module,
  Schema,
  SearchIndex,
  Table,
  UnitValue,
  Validator,
  VectorIndex,
} from "../protocol.ts";

const DOCS =
  "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas.";
const MAX_INDEXES = 64;
/** `_creationTime`, which is appended to every index, included. */
const MAX_INDEX_FIELDS = 16;
const MAX_FILTER_FIELDS = 16;
const FIELDS = new Set(
  (
    "tableName indexes stagedDbIndexes searchIndexes stagedSearchIndexes vectorIndexes " +
    "stagedVectorIndexes documentType stagedDocumentType"
  ).split(" "),
);
const RESERVED_INDEXES = new Set(["by_id", "by_creation_time"]);

/** @returns tables and indexes sorted by name, `_creationTime` appended to database indexes @throws Refusal */
export function checkSchema(value: Extract<UnitValue, { kind: "schema" }>, module: Module): Schema {
  const origins = new Origins([module]);
  const position = origins.start(module.path);
  if (value.problem === "missing") {
    throw new Refusal("MissingSchemaExportError", `Schema file missing default export. ${DOCS}`, {
      position,
    });
  }
  const raw = value.json === null ? null : parseJson(value.json);
  if (raw === null || !Array.isArray(raw.tables)) {
    const message = `Default export from schema file isn't a Convex schema. ${DOCS}`;
    throw new Refusal("InvalidSchemaExport", message, { position });
  }
  const schemaValidation = raw.schemaValidation !== false;
  if (raw.tables.length > MAX_TABLES) {
    throw new Refusal("TooManyTables", `Number of tables cannot exceed ${MAX_TABLES}.`, {
      position,
    });
  }
  const tables = raw.tables.map((table) => {
    const name = String(table.tableName);
    try {
      return new TableCheck(name, table).check(schemaValidation);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { index = null } = error.where;
      error.where = {
        table: name,
        index,
        position: locate(origins, module.path, name, index) ?? position,
      };
      throw error;
    }
  });
  tables.sort((a, b) => (a.tableName < b.tableName ? -1 : 1));
  return { tables, schemaValidation };
}

/** The place of an index's, or else a table's, name in the schema file. */
function locate(origins: Origins, path: string, table: string, index: string | null) {
  // Bundles write a table as `name: f({` or, where the name is no identifier, `"name": f({`; a
  // table that is a variable of its own is written in front of it, so the second try is from the top.
  const key = /^[A-Za-z_$][\w$]*$/.test(table) ? `${table}: ` : `${JSON.stringify(table)}: `;
  if (index === null) return origins.find(path, key);
  const name = JSON.stringify(index);
  return origins.find(path, name, key) ?? origins.find(path, name) ?? origins.find(path, key);
}

function parseJson(json: string): { tables?: any[]; schemaValidation?: unknown } | null {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

class TableCheck {
  name: string;
  raw: Record<string, any>;
  constructor(name: string, raw: Record<string, any>) {
    this.name = name;
    this.raw = raw;
  }

  check(schemaValidation: boolean): Table {
    requireKnown("schema field", this.raw, FIELDS);
    this.#checkName();
    const documentType = this.#documentType("documentType");
    // What a table's documents are to be later: it is checked in the background, and binds nobody yet.
    const staged = this.#documentType("stagedDocumentType");
    if (staged !== null) this.#checkTopLevel(staged);
    const table = {
      tableName: this.name,
      indexes: this.#list("indexes", (raw) => this.#database(raw, "index")),
      stagedDbIndexes: this.#list("stagedDbIndexes", (raw) => this.#database(raw, "staged index")),
      searchIndexes: this.#list("searchIndexes", (raw) => this.#search(raw)),
      stagedSearchIndexes: this.#list("stagedSearchIndexes", (raw) => this.#search(raw)),
      vectorIndexes: this.#list("vectorIndexes", (raw) => this.#vector(raw)),
      stagedVectorIndexes: this.#list("stagedVectorIndexes", (raw) => this.#vector(raw)),
      documentType,
    };
    this.#checkTogether(table);
    if (documentType !== null) {
      this.#checkTopLevel(documentType);
      this.#checkSystemFields(documentType);
    }
    if (documentType !== null && schemaValidation) this.#checkFields(table, documentType);
    for (const index of [...table.indexes, ...table.stagedDbIndexes])
      index.fields.push("_creationTime");
    return table;
  }

  #refuse(code: string, message: string, index: string | null = null): never {
    throw new Refusal(code, message, { index });
  }

  /** With the names that the text does not hold in front. */
  #refuseIndex(code: string, message: string, index: string): never {
    this.#refuse(code, `In table "${this.name}": In index "${index}": ${message}`, index);
  }

  #checkName() {
    if (/^_[A-Za-z0-9_]*$/.test(this.name)) {
      this.#refuse("TableNameReserved", `${this.name} is a reserved table name.`);
    }
    const problem = pushedNameProblem(this.name);
    if (problem !== null) {
      this.#refuse(
        "InvalidTableName",
        `Invalid table name: ${JSON.stringify(this.name)}. ${problem}`,
      );
    }
  }

  #documentType(key: "documentType" | "stagedDocumentType"): Validator | null {
    const raw = this.raw[key];
    if (raw === null || raw === undefined) return null;
    try {
      return parseValidator(raw);
    } catch (error) {
      if (error instanceof Unsupported) throw error;
      if (error instanceof Refusal)
        this.#refuse(error.code, `In table "${this.name}": ${error.message}`);
      const reason = error instanceof Error ? error.message : String(error);
      return this.#refuse("InvalidSchemaExport", `In table "${this.name}": ${reason}. ${DOCS}`);
    }
  }

  #list<T extends { indexDescriptor: string }>(key: string, read: (raw: any) => T): T[] {
    const list = this.raw[key];
    const indexes = Array.isArray(list) ? list.map(read) : [];
    return indexes.sort((a, b) => (a.indexDescriptor < b.indexDescriptor ? -1 : 1));
  }

  #indexName(raw: any): string {
    const name = String(raw.indexDescriptor);
    if (name.startsWith("_") || RESERVED_INDEXES.has(name)) {
      this.#refuse(
        "IndexNameReserved",
        `In table "${this.name}" cannot name an index "${name}" because the name is reserved. Indexes may not ` +
          'start with an underscore or be named "by_id" or "by_creation_time".',
        name,
      );
    }
    if (pushedNameProblem(name) !== null) {
      this.#refuse(
        "InvalidIndexName",
        `In table "${this.name}": Invalid index name: ${JSON.stringify(name)}. Identifiers must be 64 characters ` +
          "or less, start with a letter, and only contain letters, digits, underscores.",
        name,
      );
    }
    return name;
  }

  #database(raw: any, kind: "index" | "staged index"): DatabaseIndex {
    const name = this.#indexName(raw);
    const fields = strings(raw.fields);
    if (fields.length === 0) {
      this.#refuse(
        "EmptyIndex",
        `In table "${this.name}" ${kind} "${name}" must have at least one field.`,
        name,
      );
    }
    const seen = new Set();
    for (const field of fields) {
      if (field === "_id") {
        const text = "`_id` is not a valid index field. To load documents by ID, use `db.get(id)`.";
        this.#refuseIndex("IndexFieldsContainId", text, name);
      }
      if (field === "_creationTime") {
        this.#refuseIndex(
          "IndexFieldsContainCreationTime",
          "`_creationTime` is automatically added to the end of each index. It should not be added explicitly " +
            "in the index definition. See https://docs.convex.dev/using/indexes for more details.",
          name,
        );
      }
      if (field.startsWith("_")) {
        const text = "Reserved fields (starting with `_`) are not allowed in indexes.";
        this.#refuseIndex("IndexFieldNameReserved", text, name);
      }
      this.#fieldPath(field, name);
      if (seen.has(field)) {
        const text = `Duplicate field "${field}". Index fields must be unique within an index.`;
        this.#refuseIndex("FieldsNotUniqueWithinIndex", text, name);
      }
      seen.add(field);
    }
    if (fields.length + 1 > MAX_INDEX_FIELDS) {
      this.#refuseIndex(
        "IndexTooManyFields",
        `Indexes may have up to ${MAX_INDEX_FIELDS} fields.`,
        name,
      );
    }
    return { indexDescriptor: name, fields };
  }

  #search(raw: any): SearchIndex {
    const name = this.#indexName(raw);
    const filterFields = this.#filterFields(raw, name);
    return {
      indexDescriptor: name,
      searchField: this.#fieldPath(raw.searchField, name),
      filterFields,
    };
  }

  #vector(raw: any): VectorIndex {
    const name = this.#indexName(raw);
    const dimensions = Number(raw.dimensions);
    if (!Number.isInteger(dimensions) || dimensions < 2 || dimensions > 4096) {
      const text = `Dimensions ${raw.dimensions} must be between 2 and 4096.`;
      this.#refuseIndex("InvalidVectorDimensionError", text, name);
    }
    const filterFields = this.#filterFields(raw, name);
    return {
      indexDescriptor: name,
      vectorField: this.#fieldPath(raw.vectorField, name),
      dimensions,
      filterFields,
    };
  }

  #filterFields(raw: any, name: string) {
    const fields = strings(raw.filterFields);
    if (fields.length > MAX_FILTER_FIELDS) {
      const text = `Search indexes may have up to ${MAX_FILTER_FIELDS} filter fields.`;
      this.#refuseIndex("IndexTooManyFilterFields", text, name);
    }
    for (const field of fields) this.#fieldPath(field, name);
    return fields.sort();
  }

  #fieldPath(raw: unknown, index: string) {
    const path = String(raw);
    const problem = fieldPathProblem(path);
    if (problem !== null) this.#refuseIndex("InvalidIdentifier", problem, index);
    return path;
  }

  /** What no index can break alone. */
  #checkTogether(table: Table) {
    const database = [...table.indexes, ...table.stagedDbIndexes];
    const search = [...table.searchIndexes, ...table.stagedSearchIndexes];
    const vector = [...table.vectorIndexes, ...table.stagedVectorIndexes];
    const names = new Set();
    for (const { indexDescriptor: name } of [...database, ...search, ...vector]) {
      if (names.has(name)) {
        const text = `Table "${this.name}" has two or more definitions of index "${name}".`;
        this.#refuse("IndexNamesNotUnique", text, name);
      }
      names.add(name);
    }
    this.#unique(
      database,
      "IndexNotUnique",
      (index) => index.fields,
      (a, b) =>
        `In table "${this.name}" index "${a}" and index "${b}" have the same fields. Indexes must be unique ` +
        "within a table.",
    );
    this.#unique(
      search,
      "SearchIndexFieldNotUnique",
      (index) => [index.searchField, index.filterFields],
      (a, b) =>
        `In table "${this.name}" search index "${a}" and search index "${b}" have the same search field and ` +
        "filter fields. Combine them into one search index.",
    );
    this.#unique(
      vector,
      "VectorIndexFieldNotUnique",
      (index) => [index.vectorField, index.dimensions],
      (a, b) =>
        `In table "${this.name}" vector index "${a}" and vector index "${b}" have the same vector field and ` +
        "dimensions. Combine them into one vector index.",
    );
    if (names.size > MAX_INDEXES) {
      this.#refuse(
        "TooManyIndexes",
        `Table "${this.name}" cannot have more than ${MAX_INDEXES} indexes.`,
      );
    }
  }

  #unique<T extends { indexDescriptor: string }>(
    indexes: T[],
    code: string,
    key: (index: T) => unknown,
    message: (first: string, second: string) => string,
  ) {
    const seen = new Map();
    for (const index of indexes) {
      const text = JSON.stringify(key(index));
      const other = seen.get(text);
      if (other !== undefined)
        this.#refuse(code, message(other, index.indexDescriptor), index.indexDescriptor);
      seen.set(text, index.indexDescriptor);
    }
  }

  #checkTopLevel(documentType: Validator) {
    const isObject = (each: Validator) => each.type === "object";
    const { type } = documentType;
    if (type === "any" || type === "object") return;
    if (type === "union" && documentType.value.every(isObject)) return;
    this.#refuse(
      "InvalidTopLevelTypeInSchemaError",
      `In table "${this.name}": The document validator in a schema must be an object, a union of objects, or ` +
        `\`v.any()\`. Found ${print(documentType)}. ${DOCS}`,
    );
  }

  /** Only the system's own fields begin with an underscore, as in documents (`database/transaction.ts`). */
  #checkSystemFields(documentType: Validator) {
    const objects = documentType.type === "union" ? documentType.value : [documentType];
    for (const each of objects) {
      if (each.type !== "object") continue;
      for (const field of Object.keys(each.value)) {
        if (!field.startsWith("_") || SYSTEM_FIELDS.has(field)) continue;
        this.#refuse(
          "SchemaDefinitionError",
          `In table "${this.name}": Field '${field}' starts with an underscore, which is only allowed for system fields like '_id'`,
        );
      }
    }
  }

  #checkFields(table: Table, documentType: Validator) {
    const mustExist = (kind: "index" | "vector index", index: string, field: string) => {
      if (
        field === "_creationTime" ||
        field === "_id" ||
        at(documentType, field.split(".")).length > 0
      )
        return;
      this.#refuse(
        "SchemaDefinitionError",
        `In table "${this.name}" the ${kind} "${index}" is invalid because it references the field "${field}" that ` +
          "does not exist.",
        index,
      );
    };
    for (const { indexDescriptor, fields } of [...table.indexes, ...table.stagedDbIndexes]) {
      for (const field of fields) mustExist("index", indexDescriptor, field);
    }
    for (const each of [...table.searchIndexes, ...table.stagedSearchIndexes]) {
      for (const field of [each.searchField, ...each.filterFields]) {
        mustExist("index", each.indexDescriptor, field);
      }
    }
    for (const each of [...table.vectorIndexes, ...table.stagedVectorIndexes]) {
      for (const field of [each.vectorField, ...each.filterFields]) {
        mustExist("vector index", each.indexDescriptor, field);
      }
      if (!at(documentType, each.vectorField.split(".")).some(allowsVector)) {
        this.#refuse(
          "SchemaDefinitionError",
          `In table "${this.name}" the vector index "${each.indexDescriptor}" is invalid because it references the ` +
            `field "${each.vectorField}" that is neither an array of float64 or optional array of float64.`,
          each.indexDescriptor,
        );
      }
    }
  }
}

function strings(value: unknown) {
  return Array.isArray(value) ? value.map(String) : [];
}
