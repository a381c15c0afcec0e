/**
 * What changes when a push goes live, in the forms that the CLI prints.
 * @import { ComponentTree, EvaluatedDefinition, IndexConfig, IndexDiff, Push, Schema } from "../protocol.d.ts"
 */

/** Every component instance of a tree, itself first. @param {ComponentTree} tree @returns {ComponentTree[]} */
export function instances(tree) {
  return [tree, ...tree.children.flatMap(([, child]) => instances(child))];
}

/** @param {Push | null} push @returns {Map<string, EvaluatedDefinition>} definitions by component path */
function byComponent(push) {
  /** @type {Map<string, EvaluatedDefinition>} */
  const found = new Map();
  if (push === null) return found;
  for (const { componentPath, definitionPath } of instances(push.tree)) {
    const definition = push.definitions.get(definitionPath);
    if (definition !== undefined) found.set(componentPath, definition);
  }
  return found;
}

/** @param {Push | null} before @param {Push} after @returns {Record<string, IndexDiff>} by component path */
export function indexDiffs(before, after) {
  const old = byComponent(before);
  return Object.fromEntries(
    [...byComponent(after)].map(([path, { schema }]) => [path, indexDiff(old.get(path)?.schema, schema)]),
  );
}

/** @param {Schema | null | undefined} before @param {Schema | null | undefined} after @returns {IndexDiff} */
function indexDiff(before, after) {
  const key = (/** @type {IndexConfig} */ index) => JSON.stringify({ ...index, staged: undefined });
  const old = new Map(indexConfigs(before).map((index) => [key(index), index]));
  const now = new Map(indexConfigs(after).map((index) => [key(index), index]));
  const both = [...now].flatMap(([text, index]) => {
    const previous = old.get(text);
    return previous === undefined ? [] : [{ index, previous }];
  });
  return {
    added_indexes: [...now].filter(([text]) => !old.has(text)).map(([, index]) => index),
    removed_indexes: [...old].filter(([text]) => !now.has(text)).map(([, index]) => index),
    enabled_indexes: both.filter(({ index, previous }) => previous.staged && !index.staged).map((each) => each.index),
    disabled_indexes: both.filter(({ index, previous }) => !previous.staged && index.staged).map((each) => each.index),
  };
}

/** @param {Schema | null | undefined} schema @returns {IndexConfig[]} */
export function indexConfigs(schema) {
  /** @type {IndexConfig[]} */
  const found = [];
  for (const table of schema?.tables ?? []) {
    const name = (/** @type {{ indexDescriptor: string }} */ index) => `${table.tableName}.${index.indexDescriptor}`;
    for (const [list, staged] of /** @type {const} */ ([[table.indexes, {}], [table.stagedDbIndexes, { staged: true }]])) {
      for (const index of list) found.push({ name: name(index), type: "database", fields: index.fields, ...staged });
    }
    for (const [list, staged] of /** @type {const} */ ([[table.searchIndexes, {}], [table.stagedSearchIndexes, { staged: true }]])) {
      for (const { searchField, filterFields, ...index } of list) {
        found.push({ name: name(index), type: "search", searchField, filterFields, ...staged });
      }
    }
    for (const [list, staged] of /** @type {const} */ ([[table.vectorIndexes, {}], [table.stagedVectorIndexes, { staged: true }]])) {
      for (const { vectorField, dimensions, filterFields, ...index } of list) {
        found.push({ name: name(index), type: "vector", dimensions, vectorField, filterFields, ...staged });
      }
    }
  }
  return found;
}

/** The answer to finish_push. @param {Push | null} before @param {Push} after */
export function pushDiff(before, after) {
  const auth = (/** @type {Push | null} */ push) => (push?.auth ?? []).map((each) => JSON.stringify(each));
  const [oldAuth, newAuth] = [auth(before), auth(after)];
  const [old, now] = [byComponent(before), byComponent(after)];
  /** @type {Record<string, object>} */
  const componentDiffs = {};
  for (const path of new Set([...now.keys(), ...old.keys()])) {
    componentDiffs[path] = componentDiff(old.get(path), now.get(path));
  }
  return {
    authDiff: {
      added: newAuth.filter((each) => !oldAuth.includes(each)),
      removed: oldAuth.filter((each) => !newAuth.includes(each)),
    },
    definitionDiffs: {},
    componentDiffs,
  };
}

/** @param {EvaluatedDefinition | undefined} before @param {EvaluatedDefinition | undefined} after */
function componentDiff(before, after) {
  const type = before === undefined ? "create" : after === undefined ? "unmount" : "modify";
  const modules = (/** @type {EvaluatedDefinition | undefined} */ each) => [...(each?.functions.keys() ?? [])];
  const [oldModules, newModules] = [modules(before), modules(after)];
  const [previous, next] = [before?.serverVersion ?? null, after?.serverVersion ?? null];
  const schema = (/** @type {EvaluatedDefinition | undefined} */ each) => (each?.schema ? JSON.stringify(each.schema) : null);
  const [previousSchema, nextSchema] = [schema(before), schema(after)];
  return {
    diffType: { type },
    moduleDiff: {
      added: newModules.filter((path) => !oldModules.includes(path)),
      removed: oldModules.filter((path) => !newModules.includes(path)),
    },
    udfConfigDiff:
      previous === null || next === null || previous === next
        ? null
        : { previous_version: previous, next_version: next },
    cronDiff: cronDiff(before, after),
    indexDiff: indexDiff(before?.schema, after?.schema),
    schemaDiff:
      previousSchema === nextSchema ? null : { previous_schema: previousSchema, next_schema: nextSchema },
  };
}

/** @param {EvaluatedDefinition | undefined} before @param {EvaluatedDefinition | undefined} after */
function cronDiff(before, after) {
  const crons = (/** @type {EvaluatedDefinition | undefined} */ each) =>
    new Map((each?.functions.get("crons.js")?.crons ?? []).map((cron) => [cron.name, JSON.stringify(cron)]));
  const [old, now] = [crons(before), crons(after)];
  return {
    added: [...now.keys()].filter((name) => !old.has(name)),
    updated: [...now].filter(([name, cron]) => old.has(name) && old.get(name) !== cron).map(([name]) => name),
    deleted: [...old.keys()].filter((name) => !now.has(name)),
  };
}
