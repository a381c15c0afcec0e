/**
 * Files that hold data: lines of JSON, a JSON array, CSV, and snapshots (ZIP archives of tables,
 * https://docs.convex.dev/database/import-export).
 *
 * A snapshot has `<table>/documents.jsonl` for each table, and below `_storage/` the files, named by their ids; a
 * component's stand below `_components/<name>/`. Values are in Convex's JSON form (`{"$integer": ...}`).
 */

import { APP } from "../push/definitions.ts";
import { STORAGE } from "../database/tables.ts";
import { readZip } from "./zip.ts";
import type { Json } from "../protocol.ts";

const DOCUMENTS = "documents.jsonl";
const COMPONENTS = "_components";
const MAX_SNAPSHOT_BYTES = 2 ** 31;

/** A file that can't be read; the message says where. */
export class FormatError extends Error {}

export type Row = { [field: string]: Json };
export type ImportedTable = { component: string; table: string; rows: Row[] };
/** `files`: contents by component and id. */
export type Imported = { tables: ImportedTable[]; files: Map<string, Buffer> };

/** @throws FormatError */
export function readData(
  bytes: Buffer,
  { format, table, component }: { format: string; table: string | null; component: string },
): Imported {
  if (format === "zip") return readSnapshot(bytes);
  if (table === null) throw new FormatError("a table must be named");
  const text = bytes.toString("utf8").replace(/^\uFEFF/, "");
  const tables = [{ component, table, rows: readRows(text, format) }];
  return { tables, files: new Map() };
}

function readRows(text: string, format: string) {
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

function readLines(text: string, where: string): Row[] {
  return text
    .split("\n")
    .flatMap((line, i) =>
      line.trim() === "" ? [] : [asRow(parse(line, `${where} ${i + 1}`), `${where} ${i + 1}`)],
    );
}

function parse(text: string, where: string): Json {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${where} is no JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function asRow(json: Json, where: string): Row {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new FormatError(`${where} is no object`);
  return json;
}

/** RFC 4180, with a header; what looks like a number is one. */
function readCsv(text: string): Row[] {
  const [header, ...records] = csvRecords(text);
  if (header === undefined) throw new FormatError("the file has no header");
  if (new Set(header).size < header.length) throw new FormatError("two columns have the same name");
  return records.map((record, i) => {
    if (record.length !== header.length) {
      throw new FormatError(
        `record ${i + 1} has ${record.length} entries, the header has ${header.length}`,
      );
    }
    return Object.fromEntries(header.map((name, column) => [name, csvValue(record[column] ?? "")]));
  });
}

function csvValue(text: string) {
  const isNumber =
    /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text));
  return isNumber ? Number(text) : text;
}

function csvRecords(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
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

function readSnapshot(bytes: Buffer): Imported {
  const tables: ImportedTable[] = [];
  const files: Map<string, Buffer> = new Map();
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

/** The component and the rest of an entry's name. */
function split(name: string) {
  const rest = name.split("/");
  const components = [];
  while (rest[0] === COMPONENTS) components.push(rest.splice(0, 2)[1] ?? "");
  return { component: components.length === 0 ? APP : components.join("/"), rest };
}

/** The name of a snapshot's entry. */
export function entryName(component: string, table: string, file: string) {
  const prefix =
    component === APP
      ? ""
      : component
          .split("/")
          .map((name) => `${COMPONENTS}/${name}/`)
          .join("");
  return `${prefix}${table}/${file}`;
}

export function documentsEntry(
  component: string,
  table: string,
  rows: Iterable<Row>,
): [string, Buffer] {
  const lines = Array.from(rows, (row) => `${JSON.stringify(row)}\n`);
  return [entryName(component, table, DOCUMENTS), Buffer.from(lines.join(""))];
}

export function fileKey(component: string, id: string) {
  return JSON.stringify([component, id]);
}
