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

/** `commitTs`: within a mutation, a value may stand for the timestamp of its commit. */
export type Accepted = { commitTs?: boolean };

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
 * @throws ValueError
 */
export function parseValue(json: Json, accepted: Accepted = {}): Json {
  return parse(json, MAX_NESTING, accepted);
}

function parse(json: Json, nesting: number, accepted: Accepted): Json {
  if (json === null || typeof json === "boolean") return json;
  if (typeof json === "string") {
    if (json.isWellFormed()) return json;
    throw new ValueError("Strings must be well-formed UTF-16: this one has half of a character.");
  }
  if (typeof json === "number") {
    if (Number.isFinite(json)) return json;
    throw new ValueError(`${json} is not a number in JSON`);
  }
  const keys = Array.isArray(json) ? [] : Object.keys(json);
  if (keys.length === 1 && keys[0]?.startsWith("$"))
    return parseSpecial(keys[0], (json as JsonObject)[keys[0]] ?? null, accepted);
  if (nesting <= 0)
    throw new ValueError(tooNested(Array.isArray(json) ? "Array" : "Object", MAX_NESTING));
  if (Array.isArray(json)) {
    if (json.length > MAX_ARRAY_LENGTH) {
      throw new ValueError(
        `Array length is too long (${json.length} > maximum length ${MAX_ARRAY_LENGTH})`,
      );
    }
    return json.map((each) => parse(each, nesting - 1, accepted));
  }
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
      value: parse(json[key] ?? null, nesting - 1, accepted),
      ...{ enumerable: true, configurable: true, writable: true },
    });
  }
  return sorted;
}

function parseSpecial(key: string, encoded: Json, { commitTs = false }: Accepted): Json {
  switch (key) {
    case "$bytes":
      return { $bytes: bytesOf(key, encoded).toString("base64") };
    case "$integer": {
      const bytes = bytesOf(key, encoded);
      if (bytes.length !== 8)
        throw new ValueError(`Received ${bytes.length} bytes, expected 8 for $integer`);
      return { $integer: bytes.toString("base64") };
    }
    case "$float": {
      const bytes = bytesOf(key, encoded);
      if (bytes.length !== 8)
        throw new ValueError(`Received ${bytes.length} bytes, expected 8 for $float`);
      const value = bytes.readDoubleLE();
      if (Number.isFinite(value) && !Object.is(value, -0))
        throw new ValueError(`Float ${displayFloat(value)} should be encoded as a number`);
      return { $float: bytes.toString("base64") };
    }
    case "$commitTs":
      if (encoded !== null) throw new ValueError("$commitTs must be encoded as null");
      if (!commitTs)
        throw new ValueError(
          "The commit timestamp is not known here: only what a mutation writes or gives to others can hold it.",
        );
      return { $commitTs: null };
    case "$set":
    case "$map":
      throw new ValueError(
        `Received a ${key === "$set" ? "Set" : "Map"} which is no longer supported as a Convex type.`,
      );
    default:
      throw new ValueError(reserved(key));
  }
}

/** Base64 with its padding, and nothing else. */
function bytesOf(key: string, encoded: Json): Buffer {
  if (typeof encoded !== "string") throw new ValueError(`${key} must be encoded as a string`);
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded)
    throw new ValueError(`${key} must be encoded as base64`);
  return bytes;
}

function reserved(name: string) {
  return `Field name ${name} starts with '$', which is reserved.`;
}

/** @param what `Array`, `Object` or `Document` */
export function tooNested(what: string, maximum: number) {
  return `${what} is too nested (nested ${maximum + 1} levels deep > maximum nesting ${maximum})`;
}

/** @throws ValueError */
export function checkFieldName(name: string) {
  if (name.length > MAX_FIELD_NAME) {
    throw new ValueError(`Field name is too long (${name.length} > maximum ${MAX_FIELD_NAME}).`);
  }
  if (name.startsWith("$")) throw new ValueError(reserved(name));
  const wrong = [...name].find((character) => !/^[ -~]$/.test(character));
  if (wrong === undefined) return;
  throw new ValueError(
    `Field name ${name} has invalid character '${wrong}': Field names can only contain non-control ASCII characters`,
  );
}

/** Whether a value, or one in it, stands for the timestamp of a commit that is still to come. */
export function isPending(value: Json): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(isPending);
  return special(value) === "$commitTs" || Object.values(value).some(isPending);
}

/** A value with the timestamp in all places that stand for it. */
export function resolved(value: Json, commitTs: bigint): Json {
  if (!isPending(value)) return value;
  if (Array.isArray(value)) return value.map((each) => resolved(each, commitTs));
  return resolvedObject(value as JsonObject, commitTs);
}

function resolvedObject(value: JsonObject, commitTs: bigint): JsonObject {
  if (special(value) === "$commitTs") return integer(commitTs);
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, resolved(each, commitTs)]),
  );
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

/** As errors show a value: `{a: 1.0, b: [2]}`, fields by alphabet. */
export function display(value: Json | undefined): string {
  if (value === undefined) return "undefined";
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return displayFloat(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(display).join(", ")}]`;
  switch (special(value)) {
    case "$integer":
      return String(specialBytes(value).readBigInt64LE());
    case "$float":
      return displayFloat(specialBytes(value).readDoubleLE());
    case "$bytes":
      return `b"${specialBytes(value).toString("base64")}"`;
    case "$undefined":
      return "undefined";
    case "$commitTs":
      return "[unresolved commit timestamp]";
    default: {
      const fields = Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, each]) => `${displayName(name)}: ${display(each)}`);
      return `{${fields.join(", ")}}`;
    }
  }
}

/** As Rust's `{:?}` does: the shortest digits, an exponent below 1e-4 and from 1e16 on. */
function displayFloat(value: number) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) return value.toExponential().replace("e+", "e");
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function displayName(name: string) {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
