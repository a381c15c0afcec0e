/** Filter expressions of `db.query(...).filter(...)`, as the client library serialises them. */

import { compareValues } from "../values/keys.ts";
import {
  display,
  integer,
  isUndefined,
  parseValue,
  special,
  specialBytes,
} from "../values/values.ts";
import { fieldAt } from "./sorted_index.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";
import type { Document } from "./sorted_index.ts";

const COMPARISONS: Record<string, (a: Json | undefined, b: Json | undefined) => boolean> = {
  $eq: (a, b) => compareValues(a, b) === 0,
  $neq: (a, b) => compareValues(a, b) !== 0,
  $lt: (a, b) => compareValues(a, b) < 0,
  $lte: (a, b) => compareValues(a, b) <= 0,
  $gt: (a, b) => compareValues(a, b) > 0,
  $gte: (a, b) => compareValues(a, b) >= 0,
};

type Operation = {
  /** As errors call it: `Cannot add 1.0 (type Float64) and ...`. */
  verb: string;
  number: (a: number, b: number) => number;
  bigint: (a: bigint, b: bigint) => bigint;
  /** Whether int64s can't be asked for it with a zero at the right. */
  divides?: true;
};
const ARITHMETIC: Record<string, Operation> = {
  $add: { verb: "add", number: (a, b) => a + b, bigint: (a, b) => a + b },
  $sub: { verb: "subtract", number: (a, b) => a - b, bigint: (a, b) => a - b },
  $mul: { verb: "multiply", number: (a, b) => a * b, bigint: (a, b) => a * b },
  $div: { verb: "divide", number: (a, b) => a / b, bigint: (a, b) => a / b, divides: true },
  $mod: { verb: "mod", number: (a, b) => a % b, bigint: (a, b) => a % b, divides: true },
};

/** Whether a document passes. @throws UserError what the filter says is no boolean */
export function passes(expression: Json, document: Document) {
  return truth(evaluate(expression, document));
}

/** @throws UserError */
export function evaluate(expression: Json, document: Document): Json | undefined {
  const entry =
    typeof expression === "object" && expression !== null
      ? Object.entries(expression)[0]
      : undefined;
  if (entry === undefined)
    throw new UserError(`Invalid filter expression ${JSON.stringify(expression)}`);
  const [operator, operands] = entry;
  const operand = (i: number) =>
    evaluate(Array.isArray(operands) ? (operands[i] ?? null) : null, document);
  const comparison = COMPARISONS[operator];
  if (comparison !== undefined) return comparison(operand(0), operand(1));
  const arithmetic = ARITHMETIC[operator];
  if (arithmetic !== undefined) return calculate(arithmetic, operand(0), operand(1));
  switch (operator) {
    case "$literal":
      return isUndefined(operands) ? undefined : operands;
    case "$field":
      return fieldAt(document, String(operands));
    case "$neg":
      return negate(evaluate(operands, document));
    case "$not":
      return !truth(evaluate(operands, document));
    case "$and":
      return list(operands).every((each) => truth(evaluate(each, document)));
    case "$or":
      return list(operands).some((each) => truth(evaluate(each, document)));
    default:
      throw new UserError(`Unknown filter expression ${operator}`);
  }
}

function list(json: Json): Json[] {
  return Array.isArray(json) ? json : [];
}

function truth(value: Json | undefined) {
  if (typeof value === "boolean") return value;
  throw new UserError(`Cannot use value ${typed(value)} as a Boolean`);
}

/** `"a" (type String)` */
function typed(value: Json | undefined) {
  return `${display(value)} (type ${typeName(value)})`;
}

function typeName(value: Json | undefined) {
  if (value === undefined) return "undefined";
  if (value === null) return "Null";
  if (typeof value === "boolean") return "Boolean";
  if (typeof value === "number") return "Float64";
  if (typeof value === "string") return "String";
  if (Array.isArray(value)) return "Array";
  switch (special(value)) {
    case "$integer":
    case "$commitTs":
      return "Int64";
    case "$float":
      return "Float64";
    case "$bytes":
      return "Bytes";
    case "$undefined":
      return "undefined";
    default:
      return "Object";
  }
}

function numberOf(value: Json | undefined) {
  if (typeof value === "number") return value;
  return special(value) === "$float" && value !== undefined
    ? specialBytes(value).readDoubleLE()
    : null;
}

function bigintOf(value: Json | undefined) {
  return special(value) === "$integer" && value !== undefined
    ? specialBytes(value).readBigInt64LE()
    : null;
}

function float(value: number): Json {
  if (Number.isFinite(value)) return value;
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return parseValue({ $float: bytes.toString("base64") });
}

function calculate({ verb, divides, ...by }: Operation, a: Json | undefined, b: Json | undefined) {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return float(by.number(x, y));
  const [m, n] = [bigintOf(a), bigintOf(b)];
  if (m === null || n === null) throw new UserError(`Cannot ${verb} ${typed(a)} and ${typed(b)}`);
  if (n === 0n && divides) throw new UserError(`Cannot ${verb} ${m} by zero`);
  return integer(BigInt.asIntN(64, by.bigint(m, n)));
}

function negate(value: Json | undefined) {
  const number = numberOf(value);
  if (number !== null) return float(-number);
  const bigint = bigintOf(value);
  if (bigint === null) throw new UserError(`Cannot negate ${typed(value)}`);
  return integer(BigInt.asIntN(64, -bigint));
}
