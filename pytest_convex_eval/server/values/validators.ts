/** Validators as data: their form in errors, what they allow, and the rules on names and records. */

import { Refusal, UnknownFeature } from "../errors.ts";
import { identifierProblem } from "./identifiers.ts";
import { display, specialBytes } from "./values.ts";
import type { Field, Json, Validator } from "../protocol.ts";

const SIMPLE = new Set([
  "null",
  "number",
  "bigint",
  "boolean",
  "string",
  "bytes",
  "any",
  "commitTs",
]);

/**
 * A validator's JSON, checked; objects have their fields by alphabet, as they are shown and compared.
 * @throws TypeError it is none
 * @throws Refusal InvalidIdentifier, InvalidRecordType
 * @throws UnknownFeature
 */
export function parseValidator(json: unknown): Validator {
  if (typeof json !== "object" || json === null)
    throw new TypeError("a validator must be an object");
  const { type, value } = json as { type?: unknown; value?: unknown };
  if (typeof type !== "string") throw new TypeError("a validator must have a type");
  if (SIMPLE.has(type)) return { type } as Validator;
  switch (type) {
    case "literal":
      return { type, value: parseLiteral(value) };
    case "id": {
      const { tableName } = json as { tableName?: unknown };
      if (typeof tableName !== "string") throw new TypeError("v.id() needs a table name");
      requireIdentifier(tableName);
      return { type, tableName };
    }
    case "array":
      return { type, value: parseValidator(value) };
    case "union":
      if (!Array.isArray(value)) throw new TypeError("v.union() needs a list");
      return { type, value: value.map(parseValidator) };
    case "object": {
      if (typeof value !== "object" || value === null)
        throw new TypeError("v.object() needs fields");
      const fields = Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, field]) => {
          requireIdentifier(name);
          return [name, parseField(field)];
        });
      return { type, value: Object.fromEntries(fields) };
    }
    case "function":
      return parseFunction(json);
    case "record":
      return parseRecord(json);
    default:
      throw new UnknownFeature(
        { kind: "validator", name: type },
        `The validator v.${type}() is not known to this deployment.`,
      );
  }
}

function requireIdentifier(name: string) {
  const problem = identifierProblem(name);
  if (problem !== null) throw new Refusal("InvalidIdentifier", problem);
}

/** Its signature is for types and generated code alone, and kept for those. */
function parseFunction(json: object): Validator {
  const { fnType, args, returns } = json as { [key: string]: unknown };
  return {
    type: "function",
    ...(typeof fnType === "string" && { fnType }),
    ...(args !== undefined && { args: parseValidator(args) }),
    ...(returns !== undefined && { returns: parseValidator(returns) }),
  };
}

function parseLiteral(value: unknown): Json {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return value;
  if (typeof value === "object" && value !== null && ("$integer" in value || "$float" in value)) {
    if ("$float" in value && !Number.isFinite(specialBytes(value as Json).readDoubleLE())) {
      throw new TypeError("a literal must be finite");
    }
    return value as Json;
  }
  throw new TypeError("a literal must be a string, number, bigint or boolean");
}

function parseField(json: unknown): Field {
  const { fieldType, optional } = (json ?? {}) as { fieldType?: unknown; optional?: unknown };
  return { fieldType: parseValidator(fieldType), optional: optional === true };
}

function parseRecord(json: object): Validator {
  const raw = json as { keys?: unknown; values?: unknown };
  const keys = parseValidator(raw.keys);
  const values = parseField(raw.values);
  if (hasLiteral(keys))
    throw new Refusal("InvalidRecordType", "Records cannot have string literal keys");
  if (!isStringLike(keys)) {
    throw new Refusal(
      "InvalidRecordType",
      `Records can only have string keys. Your validator contains a record with key typed as \`${print(keys)}\`, ` +
        "which is not a subtype of `v.string()`",
    );
  }
  if (values.optional)
    throw new Refusal("InvalidRecordType", "Records cannot have optional values");
  return { type: "record", keys, values };
}

function hasLiteral(validator: Validator): boolean {
  return (
    (validator.type === "literal" && typeof validator.value === "string") ||
    (validator.type === "union" && validator.value.some(hasLiteral))
  );
}

/** Whether every value that it allows is a string. */
export function isStringLike(validator: Validator): boolean {
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

/** Whether it allows an array of float64. */
export function allowsVector(validator: Validator): boolean {
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

/** What it allows at a path of fields; an empty list when it allows nothing there. */
export function at(validator: Validator, path: string[]): Validator[] {
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

/** As errors show it: `v.object({a: v.optional(v.string())})`, fields by alphabet. */
export function print(validator: Validator): string {
  switch (validator.type) {
    case "number":
      return "v.float64()";
    case "bigint":
      return "v.int64()";
    case "literal":
      return `v.literal(${display(validator.value)})`;
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
