/**
 * Files that hold data: lines of JSON, a JSON array, CSV, and snapshots (ZIP archives of tables,
 * https://docs.convex.dev/database/import-export).
 *
 * A snapshot has `<table>/documents.jsonl` for each table, and below `_storage/` the files, named by their ids; a
 * component's stand below `_components/<name>/`. Values are in Convex's JSON form (`{"$integer": ...}`).
 * @import { Json } from "../protocol.d.ts"
 */

import { APP } from "../push/definitions.mjs";
import { STORAGE } from "../database/tables.mjs";
import { readZip } from "./zip.mjs";

const DOCUMENTS = "documents.jsonl";
const COMPONENTS = "_components";
const MAX_SNAPSHOT_BYTES = 2 ** 31;

/** A file that can't be read; the message says where. */
export class FormatError extends Error {}

/** @typedef {{ [field: string]: Json }} Row */
/** @typedef {{ component: string, table: string, rows: Row[] }} ImportedTable */
/** `files`: contents by component and id. @typedef {{ tables: ImportedTable[], files: Map<string, Buffer> }} Imported */

/**
 * @param {Buffer} bytes @param {{ format: string, table: string | null, component: string }} options
 * @returns {Imported}
 * @throws {FormatError}
 */
export function readData(bytes, { format, table, component }) {
  if (format === "zip") return readSnapshot(bytes);
  if (table === null) throw new FormatError("a table must be named");
  const text = bytes.toString("utf8").replace(/^\uFEFF/, "");
  const tables = [{ component, table, rows: readRows(text, format) }];
  return { tables, files: new Map() };
}

/** @param {string} text @param {string} format */
function readRows(text, format) {
  switch (format) {
    case "jsonLines":
      return readLines(text, "line");
    case "jsonArray": {
      const rows = parse(text, "the file");
      if (!Array.isArray(rows)) throw new FormatError("the file is no JSON array");
      return rows.map((row, i) => asRow(row, `element ${i}`));
    }
    case "csv":
      return readCsv(text);
    default:
      throw new FormatError(`unknown format ${JSON.stringify(format)}`);
  }
}

/** @param {string} text @param {string} where @returns {Row[]} */
function readLines(text, where) {
  return text.split("\n").flatMap((line, i) => (line.trim() === "" ? [] : [asRow(parse(line, `${where} ${i + 1}`), `${where} ${i + 1}`)]));
}

/** @param {string} text @param {string} where @returns {Json} */
function parse(text, where) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${where} is no JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {Json} json @param {string} where @returns {Row} */
function asRow(json, where) {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new FormatError(`${where} is no object`);
  return json;
}

/** RFC 4180, with a header; what looks like a number is one. @param {string} text @returns {Row[]} */
function readCsv(text) {
  const [header, ...records] = csvRecords(text);
  if (header === undefined) throw new FormatError("the file has no header");
  if (new Set(header).size < header.length) throw new FormatError("two columns have the same name");
  return records.map((record, i) => {
    if (record.length !== header.length) {
      throw new FormatError(`record ${i + 1} has ${record.length} entries, the header has ${header.length}`);
    }
    return Object.fromEntries(header.map((name, column) => [name, csvValue(record[column] ?? "")]));
  });
}

/** @param {string} text */
function csvValue(text) {
  const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text));
  return isNumber ? Number(text) : text;
}

/** @param {string} text @returns {string[][]} */
function csvRecords(text) {
  /** @type {string[][]} */
  const records = [];
  /** @type {string[]} */
  let record = [];
  // An entry, in quotes or not, and what ends it.
  const entry = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  while (entry.lastIndex < text.length || record.length > 0) {
    const match = entry.exec(text);
    if (match === null) throw new FormatError(`record ${records.length} is no CSV`);
    record.push(match[1] === undefined ? (match[2] ?? "") : match[1].replaceAll('""', '"'));
    if (match[3] === ",") continue;
    if (record.length > 1 || record[0] !== "") records.push(record);
    record = [];
  }
  return records;
}

/** @param {Buffer} bytes @returns {Imported} */
function readSnapshot(bytes) {
  /** @type {ImportedTable[]} */
  const tables = [];
  /** @type {Map<string, Buffer>} */
  const files = new Map();
  for (const [name, content] of readZip(bytes, MAX_SNAPSHOT_BYTES)) {
    const { component, rest } = split(name);
    const [table = "", file = "", ...deeper] = rest;
    if (deeper.length > 0 || file === "") continue; // A README and the like.
    if (file === DOCUMENTS) {
      // System tables but for the files' are the deployment's own; `_tables` names those that are here.
      if (table.startsWith("_") && table !== STORAGE) continue;
      tables.push({ component, table, rows: readLines(content.toString("utf8"), `${name} line`) });
    } else if (table === STORAGE && !file.endsWith(".jsonl")) {
      files.set(fileKey(component, file.split(".")[0] ?? ""), content);
    }
  }
  return { tables, files };
}

/** The component and the rest of an entry's name. @param {string} name */
function split(name) {
  const rest = name.split("/");
  const components = [];
  while (rest[0] === COMPONENTS) components.push(rest.splice(0, 2)[1] ?? "");
  return { component: components.length === 0 ? APP : components.join("/"), rest };
}

/** The name of a snapshot's entry. @param {string} component @param {string} table @param {string} file */
export function entryName(component, table, file) {
  const prefix = component === APP ? "" : component.split("/").map((name) => `${COMPONENTS}/${name}/`).join("");
  return `${prefix}${table}/${file}`;
}

/** @param {string} component @param {string} table @param {Iterable<Row>} rows @returns {[string, Buffer]} */
export function documentsEntry(component, table, rows) {
  const lines = Array.from(rows, (row) => `${JSON.stringify(row)}\n`);
  return [entryName(component, table, DOCUMENTS), Buffer.from(lines.join(""))];
}

/** @param {string} component @param {string} id */
export function fileKey(component, id) {
  return JSON.stringify([component, id]);
}
