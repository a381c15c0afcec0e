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
/** What a word that only begins with the last term counts beside the term itself. */
const PREFIX_WEIGHT = 0.5;

function terms(text: string) {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).map((each) => each.slice(0, MAX_TERM));
}

export type SearchFilter = { type: "Search" | "Eq"; fieldPath: string; value: Json };

/**
 * The documents that match any term (the last one as a prefix), the most relevant first.
 * @param name `table.index`
 * @throws UserError
 */
export function search(
  table: Table | undefined,
  name: string,
  filters: SearchFilter[],
): Document[] {
  const own = name.slice(name.indexOf(".") + 1);
  const schema = table?.schema;
  if (schema?.stagedSearchIndexes.some((each) => each.indexDescriptor === own)) {
    throw new UserError(
      `Index ${name} is currently staged and not available to query until it is enabled.`,
    );
  }
  const index = schema?.searchIndexes.find((each) => each.indexDescriptor === own);
  if (table === undefined || index === undefined) throw noIndex(table, name, "search");
  const wrong = (what: string) => new UserError(`Search query against ${name} ${what}`);
  const [query, ...others] = filters.filter(({ type }) => type === "Search");
  if (query === undefined) {
    throw wrong(
      `does not contain any search filters. You must include a search filter like \`q.search("${index.searchField}", searchText)\`.`,
    );
  }
  if (others.length > 0)
    throw wrong(
      `contains multiple search filters against "${query.fieldPath}". Only one is allowed.`,
    );
  if (query.fieldPath !== index.searchField) {
    throw wrong(
      `contains a search filter against "${query.fieldPath}", which doesn't match the indexed \`searchField\` "${index.searchField}".`,
    );
  }
  const equalities = filters.filter(({ type }) => type === "Eq");
  if (equalities.length > MAX_FILTERS)
    throw wrong(`has too many filter conditions. Max: ${MAX_FILTERS} Actual: ${equalities.length}`);
  for (const { fieldPath } of equalities) {
    if (index.filterFields.includes(fieldPath)) continue;
    throw wrong(
      `contains an equality filter on "${fieldPath}" but that field isn't indexed for filtering in \`filterFields\`.`,
    );
  }
  const wanted = terms(String(query.value)).slice(0, MAX_TERMS);
  const texts = [...table.documents.values()].map((document) => {
    const text = fieldAt(document, index.searchField);
    return { document, words: typeof text === "string" ? terms(text) : [] };
  });
  const average =
    texts.reduce((sum, { words }) => sum + words.length, 0) / Math.max(texts.length, 1);
  const matchers = wanted.map((term, i): Matcher => {
    const isLast = i === wanted.length - 1;
    const count = (words: string[]) => {
      let count = 0;
      for (const word of words)
        if (word === term) count += 1;
        else if (isLast && word.startsWith(term)) count += PREFIX_WEIGHT;
      return count;
    };
    const holding = texts.filter(({ words }) => count(words) > 0).length;
    return { count, weight: Math.log(1 + (texts.length - holding + 0.5) / (holding + 0.5)) };
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

/** `count`: how often a term is among words */
type Matcher = { count: (words: string[]) => number; weight: number };

/** Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), k1 = 1.2, b = 0.75. */
function bm25(words: string[], matchers: Matcher[], average: number) {
  let score = 0;
  for (const { count, weight } of matchers) {
    const found = count(words);
    score +=
      (weight * found * 2.2) /
      (found + 1.2 * (0.25 + (0.75 * words.length) / Math.max(average, 1)));
  }
  return score;
}

/** @param name `table.index` @param kind what it had to be */
function noIndex(table: Table | undefined, name: string, kind: "search" | "vector") {
  const own = name.slice(name.indexOf(".") + 1);
  const { schema } = table ?? {};
  const others = [
    ...(table?.indexes.keys() ?? []),
    ...[...(schema?.searchIndexes ?? []), ...(schema?.stagedSearchIndexes ?? [])].map(
      ({ indexDescriptor }) => indexDescriptor,
    ),
    ...[...(schema?.vectorIndexes ?? []), ...(schema?.stagedVectorIndexes ?? [])].map(
      ({ indexDescriptor }) => indexDescriptor,
    ),
  ];
  const text = others.includes(own) ? `is not a ${kind} index` : "not found.";
  return new UserError(`Index ${name} ${text}`);
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
  query: VectorQuery,
): { _id: string; _score: number }[] {
  const { indexName: name } = query;
  const own = name.slice(name.indexOf(".") + 1);
  const { schema } = table ?? {};
  if (schema?.stagedVectorIndexes.some((each) => each.indexDescriptor === own)) {
    throw new UserError(
      `Index ${name} is currently staged and not available to query until it is enabled.`,
    );
  }
  const index = schema?.vectorIndexes.find((each) => each.indexDescriptor === own);
  if (table === undefined || index === undefined) throw noIndex(table, name, "vector");
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
      `Expected a vector with dimensions ${index.dimensions}, received ${vector?.length ?? 0}.`,
    );
  }
  const filtered = fieldsOf(query.expressions);
  if (filtered.length > MAX_VECTOR_FILTERS) {
    throw new UserError(
      `Vector query against ${name} has too many filter conditions. Max: ${MAX_VECTOR_FILTERS} Actual: ${filtered.length}`,
    );
  }
  for (const field of filtered) {
    if (index.filterFields.includes(field)) continue;
    throw new UserError(
      `Vector query against ${name} contains a filter on "${field}" but that field isn't indexed for filtering in \`filterFields\`.`,
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
