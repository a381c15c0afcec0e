/** Whether a value is what a validator allows, and the sentence that says why not. */

import { print } from "./validators.ts";
import { parseFunctionHandle } from "./handles.ts";
import { compareValues } from "./keys.ts";
import { display, special } from "./values.ts";
import type { Json, Validator } from "../protocol.ts";

/** The table that an id belongs to: its name, undefined for an unknown one, null for what is no id. */
export type TableOf = (id: string) => string | undefined | null;

/** `isDocument`: `_id` and `_creationTime` are no extra fields */
export type Context = { tableOf: TableOf; isDocument?: boolean };

/** What the system adds to each document. */
export const SYSTEM_FIELDS = new Set(["_id", "_creationTime"]);

/** @returns the mismatch as the backend words it; null for a match */
export function mismatch(validator: Validator, value: Json, context: Context): string | null {
  return check(validator, value, "", context);
}

function check(validator: Validator, value: Json, path: string, context: Context): string | null {
  const wrong = () =>
    `Value does not match validator.\n${at(path)}\nValue: ${display(value)}\nValidator: ${print(validator)}\n`;
  switch (validator.type) {
    case "any":
      return null;
    case "null":
      return value === null ? null : wrong();
    case "boolean":
      return typeof value === "boolean" ? null : wrong();
    case "string":
      return typeof value === "string" ? null : wrong();
    case "number":
      return typeof value === "number" || special(value) === "$float" ? null : wrong();
    case "bigint":
      return special(value) === "$integer" ? null : wrong();
    case "bytes":
      return special(value) === "$bytes" ? null : wrong();
    case "commitTs":
      return special(value) === "$commitTs" || special(value) === "$integer" ? null : wrong();
    case "function":
      return typeof value === "string" && parseFunctionHandle(value) !== null ? null : wrong();
    case "literal":
      if (compareValues(validator.value, value) === 0) return null;
      return `\`${display(value)}\` does not match literal validator \`${print(validator)}\`.${at(path)}`;
    case "id":
      return checkId(validator, value, path, context, wrong);
    case "array": {
      if (!Array.isArray(value)) return wrong();
      for (const [i, each] of value.entries()) {
        const found = check(validator.value, each, `${path}[${i}]`, context);
        if (found !== null) return found;
      }
      return null;
    }
    case "union":
      return validator.value.some((member) => check(member, value, path, context) === null)
        ? null
        : wrong();
    case "record": {
      if (!isObject(value)) return wrong();
      for (const [name, each] of Object.entries(value)) {
        const found =
          check(validator.keys, name, `${path}.keys()`, context) ??
          check(validator.values.fieldType, each, `${path}.values()`, context);
        if (found !== null) return found;
      }
      return null;
    }
    case "object":
      return isObject(value) ? checkObject(validator, value, path, context) : wrong();
  }
}

function checkId(
  validator: Extract<Validator, { type: "id" }>,
  value: Json,
  path: string,
  context: Context,
  wrong: () => string,
) {
  if (typeof value !== "string") return wrong();
  const table = context.tableOf(value);
  if (table === null) return wrong();
  if (table === validator.tableName) return null;
  const from =
    table === undefined || table.startsWith("_")
      ? "from a system table"
      : `from table \`${table}\``;
  return `Found ID "${value}" ${from}, which does not match the table name in validator \`${print(validator)}\`.${at(path)}`;
}

function checkObject(
  validator: Extract<Validator, { type: "object" }>,
  value: { [key: string]: Json },
  path: string,
  context: Context,
) {
  const tail = () => `\n${at(path)}\nObject: ${display(value)}\nValidator: ${print(validator)}\n`;
  for (const [name, { fieldType, optional }] of Object.entries(validator.value)) {
    const field = Object.hasOwn(value, name) ? value[name] : undefined;
    if (field === undefined) {
      if (optional) continue;
      return (
        `Object is missing the required field \`${name}\`. Consider wrapping the field validator in ` +
        `\`v.optional(...)\` if this is expected.${tail()}`
      );
    }
    const found = check(fieldType, field, step(path, name), context);
    if (found !== null) return found;
  }
  const known = (name: string) =>
    Object.hasOwn(validator.value, name) ||
    (context.isDocument && path === "" && SYSTEM_FIELDS.has(name));
  const extra = Object.keys(value)
    .sort()
    .find((name) => !known(name));
  if (extra === undefined) return null;
  return `Object contains extra field \`${extra}\` that is not in the validator.${tail()}`;
}

/** Whether a value is an object, and not one of those that stand for others. */
export function isObject(value: Json): value is { [key: string]: Json } {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && special(value) === null
  );
}

function step(path: string, name: string) {
  return /^[A-Za-z_]\w*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

function at(path: string) {
  return path === "" ? "" : `Path: ${path}`;
}
