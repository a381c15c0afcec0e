/** What becomes a document: the name of its table, its form, and the fields that the system has set. */

import { identifierProblem } from "../values/identifiers.ts";
import {
  display,
  displaySize,
  MAX_DOCUMENT_NESTING,
  nestingOf,
  parseValue,
  sizeOf,
  special,
  tooNested,
  ValueError,
} from "../values/values.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";
import type { Document } from "./sorted_index.ts";

const MAX_DOCUMENT_BYTES = 1024 * 1024;

/** @param method as users call it: `db.insert` @throws UserError */
export function checkTableName(name: string, method: string) {
  const problem = identifierProblem(name);
  if (problem !== null) throw invalidArgument("table", method, problem);
}

export function invalidArgument(argument: string, method: string, why: string) {
  return new UserError(`Invalid argument \`${argument}\` for \`${method}\`: ${why}`);
}

/**
 * A document of the fields that are given.
 * @param system its own id and time, which given ones must not contradict
 * @throws UserError
 */
export function documentOf(
  given: Document,
  { _id, _creationTime }: { _id: string; _creationTime: Json },
): Document {
  const { _id: givenId, _creationTime: givenTime, ...fields } = given;
  if (givenId !== undefined && givenId !== _id)
    throw new UserError(
      `Provided document ID ${display(_id)} doesn't match '_id' field ${display(givenId)}`,
    );
  if (givenTime !== undefined && givenTime !== _creationTime)
    throw new UserError(
      `Provided creation time ${display(_creationTime)} doesn't match '_creationTime' field in ${display(given)}`,
    );
  const document = { _creationTime, _id, ...fields };
  const field = Object.keys(fields).find((each) => each.startsWith("_"));
  if (field !== undefined)
    throw new UserError(
      `Document(value: ${display(document)}) isn't a valid document: Field '${field}' starts with an underscore, which is only allowed for system fields like '_id'`,
    );
  return document;
}

/** The fields of what a function gave. @throws UserError */
export function fieldsOf(value: Json, method: string): Document {
  let parsed: Json;
  try {
    parsed = parseValue(value, { commitTs: true });
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw invalidArgument("value", method, error.message);
  }
  if (
    typeof parsed !== "object" ||
    parsed === null ||
    Array.isArray(parsed) ||
    special(parsed) !== null
  )
    throw invalidArgument("value", method, "Value must be an Object");
  return parsed;
}

/** @returns its size in bytes @throws UserError it breaks a limit of documents */
export function checkLimits(document: Document): number {
  const size = sizeOf(document);
  if (size > MAX_DOCUMENT_BYTES)
    throw new UserError(`Value is too large (${displaySize(size)} > maximum size 1 MiB)`);
  if (nestingOf(document) > MAX_DOCUMENT_NESTING)
    throw new UserError(tooNested("Document", MAX_DOCUMENT_NESTING));
  return size;
}
