/** What changes when a push goes live, in the forms that the CLI prints. */

import type {
  ComponentTree,
  EvaluatedDefinition,
  IndexConfig,
  IndexDiff,
  Push,
  Schema,
} from "../protocol.ts";

/** Every component instance of a tree, itself first. */
export function instances(tree: ComponentTree): ComponentTree[] {
  return [tree, ...tree.children.flatMap(([, child]) => instances(child))];
}

/** @returns definitions by component path */
function byComponent(push: Push | null): Map<string, EvaluatedDefinition> {
  const found: Map<string, EvaluatedDefinition> = new Map();
  if (push === null) return found;
  for (const { componentPath, definitionPath } of instances(push.tree)) {
    const definition = push.definitions.get(definitionPath);
    if (definition !== undefined) found.set(componentPath, definition);
  }
  return found;
}

/** @returns by component path */
export function indexDiffs(before: Push | null, after: Push): Record<string, IndexDiff> {
  const old = byComponent(before);
  return Object.fromEntries(
    [...byComponent(after)].map(([path, { schema }]) => [
      path,
      indexDiff(old.get(path)?.schema, schema),
    ]),
  );
}

function indexDiff(before: Schema | null | undefined, after: Schema | null | undefined): IndexDiff {
  const key = (index: IndexConfig) => JSON.stringify({ ...index, staged: undefined });
  const old = new Map(indexConfigs(before).map((index) => [key(index), index]));
  const now = new Map(indexConfigs(after).map((index) => [key(index), index]));
  const both = [...now].flatMap(([text, index]) => {
    const previous = old.get(text);
    return previous === undefined ? [] : [{ index, previous }];
  });
  return {
    added_indexes: [...now].filter(([text]) => !old.has(text)).map(([, index]) => index),
    removed_indexes: [...old].filter(([text]) => !now.has(text)).map(([, index]) => index),
    enabled_indexes: both
      .filter(({ index, previous }) => previous.staged && !index.staged)
      .map((each) => each.index),
    disabled_indexes: both
      .filter(({ index, previous }) => !previous.staged && index.staged)
      .map((each) => each.index),
  };
}

export function indexConfigs(schema: Schema | null | undefined): IndexConfig[] {
  const found: IndexConfig[] = [];
  for (const table of schema?.tables ?? []) {
    const name = (index: { indexDescriptor: string }) =>
      `${table.tableName}.${index.indexDescriptor}`;
    for (const [list, staged] of [
      [table.indexes, {}],
      [table.stagedDbIndexes, { staged: true }],
    ] as const) {
      for (const index of list)
        found.push({ name: name(index), type: "database", fields: index.fields, ...staged });
    }
    for (const [list, staged] of [
      [table.searchIndexes, {}],
      [table.stagedSearchIndexes, { staged: true }],
    ] as const) {
      for (const { searchField, filterFields, ...index } of list) {
        found.push({ name: name(index), type: "search", searchField, filterFields, ...staged });
      }
    }
    for (const [list, staged] of [
      [table.vectorIndexes, {}],
      [table.stagedVectorIndexes, { staged: true }],
    ] as const) {
      for (const { vectorField, dimensions, filterFields, ...index } of list) {
        found.push({
          name: name(index),
          type: "vector",
          dimensions,
          vectorField,
          filterFields,
          ...staged,
        });
      }
    }
  }
  return found;
}

/** The answer to finish_push. */
export function pushDiff(before: Push | null, after: Push) {
  const auth = (push: Push | null) => (push?.auth ?? []).map((each) => JSON.stringify(each));
  const [oldAuth, newAuth] = [auth(before), auth(after)];
  const [old, now] = [byComponent(before), byComponent(after)];
  const componentDiffs: Record<string, object> = {};
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

function componentDiff(
  before: EvaluatedDefinition | undefined,
  after: EvaluatedDefinition | undefined,
) {
  const type = before === undefined ? "create" : after === undefined ? "unmount" : "modify";
  const modules = (each: EvaluatedDefinition | undefined) => [...(each?.functions.keys() ?? [])];
  const [oldModules, newModules] = [modules(before), modules(after)];
  const [previous, next] = [before?.serverVersion ?? null, after?.serverVersion ?? null];
  const schema = (each: EvaluatedDefinition | undefined) =>
    each?.schema ? JSON.stringify(each.schema) : null;
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
      previousSchema === nextSchema
        ? null
        : { previous_schema: previousSchema, next_schema: nextSchema },
  };
}

function cronDiff(before: EvaluatedDefinition | undefined, after: EvaluatedDefinition | undefined) {
  const crons = (each: EvaluatedDefinition | undefined) =>
    new Map(
      (each?.functions.get("crons.js")?.crons ?? []).map((cron) => [
        cron.name,
        JSON.stringify(cron),
      ]),
    );
  const [old, now] = [crons(before), crons(after)];
  return {
    added: [...now.keys()].filter((name) => !old.has(name)),
    updated: [...now]
      .filter(([name, cron]) => old.has(name) && old.get(name) !== cron)
      .map(([name]) => name),
    deleted: [...old.keys()].filter((name) => !now.has(name)),
  };
}
