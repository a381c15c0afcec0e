/**
 * Text and vector search over a table, without indexes of their own: at the size of an evaluation's data a scan is
 * quicker than keeping one. Ranks are approximations of the backend's (BM25; cosine similarity).
 */

import { compareValues } from "../values/keys.ts";
import { isUndefined } from "../values/values.ts";
import { evaluate } from "./expressions.ts";
import { fieldAt } from "./sorted_index.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";
import type { Document } from "./sorted_index.ts";
import type { Table } from "./tables.ts";

const MAX_TERMS = 16;
const MAX_TERM = 32;
const MAX_FILTERS = 8;
/** The best results that can be read. */
export const MAX_CANDIDATES = 1024;
const MAX_VECTOR_RESULTS = 256;
const MAX_VECTOR_FILTERS = 64;
const DEFAULT_VECTOR_RESULTS = 10;

function terms(text: string) {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).map((each) => each.slice(0, MAX_TERM));
}

/** The documents that match any term (the last one as a prefix), the most relevant first. @throws UserError */
export function search(
  table: Table | undefined,
  indexName: string,
  filters: { type: "Search" | "Eq"; fieldPath: string; value: Json }[],
): Document[] {
  const name = `${table?.name ?? "?"}.${indexName}`;
  const schema = table?.schema;
  if (schema?.stagedSearchIndexes.some((each) => each.indexDescriptor === indexName)) {
    throw new UserError(
      `Index ${name} is currently staged and not available to query until it is enabled.`,
    );
  }
  const index = schema?.searchIndexes.find((each) => each.indexDescriptor === indexName);
  if (table === undefined || index === undefined) throw new UserError(`Index ${name} not found.`);
  const [query, ...others] = filters.filter(({ type }) => type === "Search");
  if (query === undefined || others.length > 0)
    throw new UserError("Search query must contain exactly one search filter.");
  if (query.fieldPath !== index.searchField) {
    throw new UserError(
      `Search query against ${name} contains a search filter against "${query.fieldPath}", which isn't its searchField.`,
    );
  }
  const equalities = filters.filter(({ type }) => type === "Eq");
  if (equalities.length > MAX_FILTERS) {
    throw new UserError(
      `Search query against ${name} has too many filters (${equalities.length} > maximum ${MAX_FILTERS}).`,
    );
  }
  for (const { fieldPath } of equalities) {
    if (index.filterFields.includes(fieldPath)) continue;
    throw new UserError(
      `Search query against ${name} contains an equality filter on "${fieldPath}" but that field isn't indexed for filtering in \`filterFields\`.`,
    );
  }
  const wanted = terms(String(query.value)).slice(0, MAX_TERMS);
  const texts = [...table.documents.values()].map((document) => {
    const text = fieldAt(document, index.searchField);
    return { document, words: typeof text === "string" ? terms(text) : [] };
  });
  const average =
    texts.reduce((sum, { words }) => sum + words.length, 0) / Math.max(texts.length, 1);
  const matchers = wanted.map((term, i) => {
    const matches = (word: string) =>
      i === wanted.length - 1 ? word.startsWith(term) : word === term;
    const holding = texts.filter(({ words }) => words.some(matches)).length;
    return { matches, weight: Math.log(1 + (texts.length - holding + 0.5) / (holding + 0.5)) };
  });
  const passing = texts.filter(({ document }) =>
    equalities.every(
      ({ fieldPath, value }) =>
        compareValues(fieldAt(document, fieldPath), isUndefined(value) ? undefined : value) === 0,
    ),
  );
  return passing
    .map(({ document, words }) => ({ document, score: bm25(words, matchers, average) }))
    .filter(({ score }) => score > 0)
    .sort(
      (a, b) =>
        b.score - a.score ||
        Number(b.document["_creationTime"]) - Number(a.document["_creationTime"]),
    )
    .map(({ document }) => document);
}

/** Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), k1 = 1.2, b = 0.75. */
function bm25(
  words: string[],
  matchers: { matches: (word: string) => boolean; weight: number }[],
  average: number,
) {
  let score = 0;
  for (const { matches, weight } of matchers) {
    const count = words.filter(matches).length;
    score +=
      (weight * count * 2.2) /
      (count + 1.2 * (0.25 + (0.75 * words.length) / Math.max(average, 1)));
  }
  return score;
}

export type VectorQuery = {
  indexName: string;
  limit?: number | null;
  vector: Json;
  expressions: Json;
};

/** @returns the most similar first @throws UserError */
export function vectorSearch(
  table: Table | undefined,
  indexName: string,
  query: VectorQuery,
): { _id: string; _score: number }[] {
  const index = table?.schema?.vectorIndexes.find((each) => each.indexDescriptor === indexName);
  if (table === undefined || index === undefined)
    throw new UserError(`Index ${query.indexName} not found.`);
  const limit = query.limit ?? DEFAULT_VECTOR_RESULTS;
  if (limit > MAX_VECTOR_RESULTS) {
    throw new UserError(
      `Vector queries can fetch at most ${MAX_VECTOR_RESULTS} results, requested ${limit}.`,
    );
  }
  if (!(limit >= 1))
    throw new UserError(`Vector queries must fetch at least 1 result, requested ${limit}.`);
  const vector = numbers(query.vector);
  if (vector === null || vector.length !== index.dimensions) {
    throw new UserError(
      `Your query vector has a length of ${vector?.length ?? 0} dimensions, but ${query.indexName} has been configured with ${index.dimensions} dimensions.`,
    );
  }
  const filtered = fieldsOf(query.expressions);
  if (filtered.length > MAX_VECTOR_FILTERS) {
    throw new UserError(
      `Vector query against ${query.indexName} has too many filters (${filtered.length} > maximum ${MAX_VECTOR_FILTERS}).`,
    );
  }
  for (const field of filtered) {
    if (index.filterFields.includes(field)) continue;
    throw new UserError(
      `Vector query against ${query.indexName} filters on "${field}", which isn't in its \`filterFields\`.`,
    );
  }
  return [...table.documents.values()]
    .flatMap((document) => {
      const own = numbers(fieldAt(document, index.vectorField));
      if (own === null || own.length !== index.dimensions) return [];
      if (query.expressions !== null && evaluate(query.expressions, document) !== true) return [];
      return [{ _id: String(document["_id"]), _score: cosine(vector, own) }];
    })
    .sort((a, b) => b._score - a._score)
    .slice(0, limit);
}

function numbers(value: Json | undefined): number[] | null {
  return Array.isArray(value) && value.every((each) => typeof each === "number") ? value : null;
}

function fieldsOf(expression: Json): string[] {
  if (Array.isArray(expression)) return expression.flatMap(fieldsOf);
  if (typeof expression !== "object" || expression === null || "$literal" in expression) return [];
  if (typeof expression["$field"] === "string") return [expression["$field"]];
  return Object.values(expression).flatMap(fieldsOf);
}

function cosine(a: number[], b: number[]) {
  let [dot, left, right] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? 0;
    dot += x * y;
    left += x * x;
    right += y * y;
  }
  return left === 0 || right === 0 ? 0 : dot / Math.sqrt(left * right);
}
