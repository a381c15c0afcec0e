/**
 * Validators as data: their form in errors, what they allow, and the rules on records.
 * @import { Field, Json, Validator } from "../protocol.d.ts"
 */

import { Refusal } from "../errors.mjs";
import { specialBytes } from "./values.mjs";

const SIMPLE = new Set(["null", "number", "bigint", "boolean", "string", "bytes", "any", "commitTs"]);

/**
 * A validator's JSON, checked.
 * @param {unknown} json
 * @returns {Validator}
 * @throws {TypeError} it is none
 * @throws {Refusal} InvalidRecordType
 */
export function parseValidator(json) {
  if (typeof json !== "object" || json === null) throw new TypeError("a validator must be an object");
  const { type, value } = /** @type {{ type?: unknown, value?: unknown }} */ (json);
  if (typeof type !== "string") throw new TypeError("a validator must have a type");
  if (SIMPLE.has(type)) return /** @type {Validator} */ ({ type });
  switch (type) {
    case "literal":
      return { type, value: parseLiteral(value) };
    case "id": {
      const { tableName } = /** @type {{ tableName?: unknown }} */ (json);
      if (typeof tableName !== "string") throw new TypeError("v.id() needs a table name");
      return { type, tableName };
    }
    case "array":
      return { type, value: parseValidator(value) };
    case "union":
      if (!Array.isArray(value)) throw new TypeError("v.union() needs a list");
      return { type, value: value.map(parseValidator) };
    case "object": {
      if (typeof value !== "object" || value === null) throw new TypeError("v.object() needs fields");
      const fields = Object.entries(value).map(([name, field]) => [name, parseField(field)]);
      return { type, value: Object.fromEntries(fields) };
    }
    case "record":
      return parseRecord(json);
    default:
      throw new TypeError(`unknown validator type ${type}`);
  }
}

/** @param {unknown} value @returns {Json} */
function parseLiteral(value) {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "object" && value !== null && ("$integer" in value || "$float" in value)) {
    if ("$float" in value && !Number.isFinite(specialBytes(/** @type {Json} */ (value)).readDoubleLE())) {
      throw new TypeError("a literal must be finite");
    }
    return /** @type {Json} */ (value);
  }
  throw new TypeError("a literal must be a string, number, bigint or boolean");
}

/** @param {unknown} json @returns {Field} */
function parseField(json) {
  const { fieldType, optional } = /** @type {{ fieldType?: unknown, optional?: unknown }} */ (json ?? {});
  return { fieldType: parseValidator(fieldType), optional: optional === true };
}

/** @param {object} json @returns {Validator} */
function parseRecord(json) {
  const raw = /** @type {{ keys?: unknown, values?: unknown }} */ (json);
  const keys = parseValidator(raw.keys);
  const values = parseField(raw.values);
  if (hasLiteral(keys)) throw new Refusal("InvalidRecordType", "Records cannot have string literal keys");
  if (!isStringLike(keys)) {
    throw new Refusal(
      "InvalidRecordType",
      `Records can only have string keys. Your validator contains a record with key typed as \`${print(keys)}\`, ` +
        "which is not a subtype of `v.string()`",
    );
  }
  if (values.optional) throw new Refusal("InvalidRecordType", "Records cannot have optional values");
  return { type: "record", keys, values };
}

/** @param {Validator} validator @returns {boolean} */
function hasLiteral(validator) {
  return (
    (validator.type === "literal" && typeof validator.value === "string") ||
    (validator.type === "union" && validator.value.some(hasLiteral))
  );
}

/** Whether every value that it allows is a string. @param {Validator} validator @returns {boolean} */
export function isStringLike(validator) {
  switch (validator.type) {
    case "string":
    case "id":
      return true;
    case "literal":
      return typeof validator.value === "string";
    case "union":
      return validator.value.length > 0 && validator.value.every(isStringLike);
    default:
      return false;
  }
}

/** Whether it allows an array of float64. @param {Validator} validator @returns {boolean} */
export function allowsVector(validator) {
  switch (validator.type) {
    case "any":
      return true;
    case "array":
      return validator.value.type === "number" || validator.value.type === "any";
    case "union":
      return validator.value.some(allowsVector);
    default:
      return false;
  }
}

/** What it allows at a path of fields; an empty list when it allows nothing there.
 * @param {Validator} validator @param {string[]} path @returns {Validator[]} */
export function at(validator, path) {
  const [name, ...rest] = path;
  if (name === undefined) return validator.type === "union" ? validator.value : [validator];
  switch (validator.type) {
    case "any":
      return [validator];
    case "object": {
      const field = Object.hasOwn(validator.value, name) ? validator.value[name] : undefined;
      return field === undefined ? [] : at(field.fieldType, rest);
    }
    case "record":
      return at(validator.values.fieldType, rest);
    case "union":
      return validator.value.flatMap((member) => at(member, path));
    default:
      return [];
  }
}

/** As errors show it: `v.object({a: v.optional(v.string())})`. @param {Validator} validator @returns {string} */
export function print(validator) {
  switch (validator.type) {
    case "number":
      return "v.float64()";
    case "bigint":
      return "v.int64()";
    case "literal":
      return `v.literal(${printLiteral(validator.value)})`;
    case "id":
      return `v.id(${JSON.stringify(validator.tableName)})`;
    case "array":
      return `v.array(${print(validator.value)})`;
    case "record":
      return `v.record(${print(validator.keys)}, ${print(validator.values.fieldType)})`;
    case "union":
      return `v.union(${validator.value.map(print).join(", ")})`;
    case "object": {
      const fields = Object.entries(validator.value).map(([name, { fieldType, optional }]) =>
        optional ? `${name}: v.optional(${print(fieldType)})` : `${name}: ${print(fieldType)}`,
      );
      return `v.object({${fields.join(", ")}})`;
    }
    default:
      return `v.${validator.type}()`;
  }
}

/** @param {Json} value */
function printLiteral(value) {
  if (typeof value === "number") return Number.isInteger(value) ? value.toFixed(1) : String(value);
  if (typeof value === "object" && value !== null && "$integer" in value) {
    return `${Buffer.from(String(value["$integer"]), "base64").readBigInt64LE()}n`;
  }
  return JSON.stringify(value);
}
