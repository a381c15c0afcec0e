/**
 * Whether a value is what a validator allows, and the sentence that says why not.
 * @import { Json, Validator } from "../protocol.d.ts"
 */

import { print } from "./validators.mjs";
import { compareValues } from "./keys.mjs";
import { display, special } from "./values.mjs";

/** The table that an id belongs to: its name, undefined for an unknown one, null for what is no id.
 * @typedef {(id: string) => string | undefined | null} TableOf */

/** @typedef {{ tableOf: TableOf, isDocument?: boolean }} Context `isDocument`: `_id` and `_creationTime` are no extra fields */

/** What the system adds to each document. */
export const SYSTEM_FIELDS = new Set(["_id", "_creationTime"]);

/**
 * @param {Validator} validator
 * @param {Json} value
 * @param {Context} context
 * @returns {string | null} the mismatch as the backend words it; null for a match
 */
export function mismatch(validator, value, context) {
  return check(validator, value, "", context);
}

/** @param {Validator} validator @param {Json} value @param {string} path @param {Context} context @returns {string | null} */
function check(validator, value, path, context) {
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
      return validator.value.some((member) => check(member, value, path, context) === null) ? null : wrong();
    case "record": {
      if (!isPlainObject(value)) return wrong();
      for (const [name, each] of Object.entries(value)) {
        const found =
          check(validator.keys, name, step(path, name), context) ??
          check(validator.values.fieldType, each, step(path, name), context);
        if (found !== null) return found;
      }
      return null;
    }
    case "object":
      return isPlainObject(value) ? checkObject(validator, value, path, context) : wrong();
  }
}

/** @param {Extract<Validator, { type: "id" }>} validator @param {Json} value @param {string} path @param {Context} context @param {() => string} wrong */
function checkId(validator, value, path, context, wrong) {
  if (typeof value !== "string") return wrong();
  const table = context.tableOf(value);
  if (table === null) return wrong();
  if (table === validator.tableName) return null;
  const from = table === undefined || table.startsWith("_") ? "from a system table" : `from table \`${table}\``;
  return `Found ID "${value}" ${from}, which does not match the table name in validator \`${print(validator)}\`.${at(path)}`;
}

/** @param {Extract<Validator, { type: "object" }>} validator @param {{ [key: string]: Json }} value @param {string} path @param {Context} context */
function checkObject(validator, value, path, context) {
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
  const known = (/** @type {string} */ name) =>
    Object.hasOwn(validator.value, name) || (context.isDocument && path === "" && SYSTEM_FIELDS.has(name));
  const extra = Object.keys(value).find((name) => !known(name));
  if (extra === undefined) return null;
  return `Object contains extra field \`${extra}\` that is not in the validator.${tail()}`;
}

/** @param {Json} value @returns {value is { [key: string]: Json }} */
function isPlainObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && special(value) === null;
}

/** @param {string} path @param {string} name */
function step(path, name) {
  return /^[A-Za-z_]\w*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

/** @param {string} path */
function at(path) {
  return path === "" ? "" : `Path: ${path}`;
}
