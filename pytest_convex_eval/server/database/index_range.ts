/**
 * Ranges of an index: equalities on its first fields, in any order, and bounds on the field after them
 * (https://docs.convex.dev/database/reading-data/indexes).
 */

import { keyOf, LAST } from "../values/keys.ts";
import { display, isUndefined } from "../values/values.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";

export type RangeExpression = {
  type: "Eq" | "Gt" | "Gte" | "Lt" | "Lte";
  fieldPath: string;
  value: Json;
};

const OPERATORS = { Eq: "==", Gt: ">", Gte: ">=", Lt: "<", Lte: "<=" };

/**
 * The keys of a range: from the first, up to and without the second.
 * @param name `table.index`
 * @param fields the index's, `_id` last
 * @throws UserError
 */
export function bounds(name: string, fields: string[], range: RangeExpression[]): [string, string] {
  const shown = fields.filter((field) => field !== "_id" || fields.length === 1);
  const equalities: Map<string, string> = new Map();
  let bounded: string | null = null;
  let lower: string | null = null;
  let upper: string | null = null;
  for (const { type, fieldPath: field, value } of range) {
    const isLower = type === "Gt" || type === "Gte";
    const defined = (kind: string) =>
      new UserError(
        `Already defined ${kind} bound in index range. Can't add ${JSON.stringify(field)} ${OPERATORS[type]} ${display(value)}.`,
      );
    if (!fields.includes(field))
      throw new UserError(
        `The index range included a comparison with ${JSON.stringify(field)}, but ${name} with fields ${quoted(shown)} doesn't index this field.`,
      );
    if (equalities.has(field)) throw defined("equality");
    const key = keyOf(isUndefined(value) ? undefined : value);
    if (type === "Eq") {
      if (bounded === field) throw defined("inequality");
      equalities.set(field, key);
      continue;
    }
    if (bounded !== null && bounded !== field)
      throw new UserError(
        "Upper and lower bounds in `range` can only be applied to a single index field. This query against index " +
          `${name} attempted to set a range bound on both ${JSON.stringify(bounded)} and ${JSON.stringify(field)}. Consider using \`filter\` instead.`,
      );
    bounded = field;
    if (isLower) {
      if (lower !== null) throw defined("lower");
      lower = type === "Gt" ? key + LAST : key;
    } else {
      if (upper !== null) throw defined("upper");
      upper = type === "Lte" ? key + LAST : key;
    }
  }
  const asked = [...[...equalities.keys()].sort(), ...(bounded === null ? [] : [bounded])];
  const used = fields.slice(0, asked.length);
  const isFirst = (field: string) =>
    field === bounded ? used.at(-1) === field : equalities.has(field);
  const fitting = used.slice(0, used.findIndex((field) => !isFirst(field)) >>> 0);
  const incorrect = asked.find((field) => !fitting.includes(field));
  if (incorrect !== undefined)
    throw new UserError(
      `Tried to query index ${name} but the query didn't use the index fields in order.\n` +
        `Index fields: ${quoted(shown)}\nQuery fields: ${quoted(asked)}\n` +
        `First incorrect field: ${JSON.stringify(incorrect)}\nFor more information see https://docs.convex.dev/using/indexes.`,
    );
  const prefix = used.map((field) => equalities.get(field) ?? "").join("");
  return [prefix + (lower ?? ""), prefix + (upper ?? LAST)];
}

function quoted(list: string[]) {
  return `[${list.map((each) => JSON.stringify(each)).join(", ")}]`;
}
