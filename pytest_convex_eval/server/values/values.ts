/**
 * Convex values in their JSON form (https://docs.convex.dev/database/types): what is one, how large it is,
 * and how errors show it. The server keeps values in this form: it never needs them in any other.
 */

import type { Json } from "../protocol.ts";

/** The deepest nesting of a value, and of a document. */
export const MAX_NESTING = 64;
export const MAX_DOCUMENT_NESTING = 16;
const MAX_ARRAY_LENGTH = 8192;
const MAX_FIELDS = 1024;
const MAX_FIELD_NAME = 1024;

/** A value that is none, or that breaks a limit: the message is for the person who made it. */
export class ValueError extends Error {}

export type JsonObject = { [key: string]: Json };

/** The one key of `{"$integer": ...}` and its like, or null for what is encoded as itself. */
export function special(
  value: Json | undefined,
): "$integer" | "$float" | "$bytes" | "$undefined" | "$commitTs" | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  for (const key in value) {
    switch (key) {
      case "$integer":
      case "$float":
      case "$bytes":
      case "$undefined":
      case "$commitTs":
        return key;
      default:
        return null;
    }
  }
  return null;
}

/** Whether a value stands for a missing field. */
export function isUndefined(value: Json | undefined): value is undefined {
  return value === undefined || special(value) === "$undefined";
}

/** The bytes behind `{"$integer"|"$float"|"$bytes": base64}`. */
export function specialBytes(value: Json): Buffer {
  const [text] = Object.values(value as JsonObject);
  return Buffer.from(String(text), "base64");
}

export function integer(value: bigint): JsonObject {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return { $integer: bytes.toString("base64") };
}

/**
 * A value from outside, checked, its objects' fields sorted as the backend stores them.
 * @param nesting how deep it may be
 * @throws ValueError
 */
export function parseValue(json: Json, nesting: number = MAX_NESTING): Json {
  if (json === null || typeof json === "boolean" || typeof json === "string") return json;
  if (typeof json === "number") {
    if (Number.isFinite(json)) return json;
    throw new ValueError(`${json} is not a number in JSON`);
  }
  if (nesting <= 0) throw new ValueError(`Value is too nested (maximum nesting: ${MAX_NESTING})`);
  if (Array.isArray(json)) {
    if (json.length > MAX_ARRAY_LENGTH) {
      throw new ValueError(
        `Array length is too long (${json.length} > maximum length ${MAX_ARRAY_LENGTH})`,
      );
    }
    return json.map((each) => parseValue(each, nesting - 1));
  }
  const keys = Object.keys(json);
  if (keys.length === 1 && keys[0]?.startsWith("$"))
    return parseSpecial(keys[0], json[keys[0]] ?? null);
  if (keys.length > MAX_FIELDS) {
    throw new ValueError(
      `Object has too many fields (${keys.length} > maximum number ${MAX_FIELDS})`,
    );
  }
  const sorted: JsonObject = {};
  for (const key of keys.sort()) {
    checkFieldName(key);
    // Not an assignment: a field can be called `__proto__`.
    Object.defineProperty(sorted, key, {
      value: parseValue(json[key] ?? null, nesting - 1),
      ...{ enumerable: true, configurable: true, writable: true },
    });
  }
  return sorted;
}

function parseSpecial(key: string, encoded: Json): Json {
  if (typeof encoded !== "string") throw new ValueError(`${key} must be encoded as a string`);
  const bytes = Buffer.from(encoded, "base64");
  switch (key) {
    case "$bytes":
      return { $bytes: bytes.toString("base64") };
    case "$integer":
      if (bytes.length !== 8) throw new ValueError("Received bytes of wrong length for an int64");
      return { $integer: bytes.toString("base64") };
    case "$float": {
      if (bytes.length !== 8) throw new ValueError("Received bytes of wrong length for a float64");
      const value = bytes.readDoubleLE();
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $float: bytes.toString("base64") };
    }
    default:
      throw new ValueError(`Field name ${key} starts with '$', which is reserved.`);
  }
}

/** @throws ValueError */
export function checkFieldName(name: string) {
  if (name.length > MAX_FIELD_NAME) {
    throw new ValueError(`Field name is too long (${name.length} > maximum ${MAX_FIELD_NAME}).`);
  }
  if (name.startsWith("$"))
    throw new ValueError(`Field name ${name} starts with '$', which is reserved.`);
  if (!/^[ -~]+$/.test(name)) {
    if (name === "") throw new ValueError("Field names must be nonempty.");
    throw new ValueError(
      `Field name ${JSON.stringify(name)} has an invalid character. Field names can only contain non-control ASCII characters.`,
    );
  }
}

/** The size in bytes that the limits count. */
export function sizeOf(value: Json | undefined): number {
  if (value === undefined || value === null || typeof value === "boolean") return 1;
  if (typeof value === "number") return 9;
  if (typeof value === "string") return 2 + Buffer.byteLength(value);
  if (Array.isArray(value)) {
    let size = 2;
    for (const each of value) size += sizeOf(each);
    return size;
  }
  switch (special(value)) {
    case "$integer":
    case "$float":
    case "$commitTs":
      return 9;
    case "$bytes":
      return 2 + specialBytes(value).length;
    case "$undefined":
      return 1;
    default: {
      let size = 2;
      for (const key in value) size += key.length + 1 + sizeOf(value[key]);
      return size;
    }
  }
}

/** As errors show a size: `18.56 MiB`. */
export function displaySize(bytes: number) {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 2);
  const text = (bytes / 1024 ** power).toFixed(2).replace(/\.00$/, "");
  return `${text} ${["B", "KiB", "MiB"][power]}`;
}

/** How deep a value is: 0 for what holds no other. */
export function nestingOf(value: Json): number {
  if (typeof value !== "object" || value === null || special(value) !== null) return 0;
  let deepest = 0;
  for (const each of Array.isArray(value) ? value : Object.values(value)) {
    deepest = Math.max(deepest, nestingOf(each));
  }
  return deepest + 1;
}

/** As errors show a value: `{a: 1.0, b: [2n]}`. */
export function display(value: Json | undefined): string {
  if (value === undefined) return "undefined";
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return displayFloat(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(display).join(", ")}]`;
  switch (special(value)) {
    case "$integer":
      return `${specialBytes(value).readBigInt64LE()}n`;
    case "$float":
      return displayFloat(specialBytes(value).readDoubleLE());
    case "$bytes":
      return `Bytes(${specialBytes(value).toString("hex")})`;
    case "$undefined":
      return "undefined";
    default: {
      const fields = Object.entries(value).map(
        ([name, each]) => `${displayName(name)}: ${display(each)}`,
      );
      return `{${fields.join(", ")}}`;
    }
  }
}

function displayFloat(value: number) {
  if (Object.is(value, -0)) return "-0.0";
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : String(value);
}

function displayName(name: string) {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
