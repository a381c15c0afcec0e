/**
 * The shapes that travel: between the CLI and this server, and between the server and an isolate.
 * What comes from outside is checked where it enters (`push_request.ts`, `isolates/isolate.ts`).
 */

import type { Feature } from "./errors.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

// ---- From the CLI -------------------------------------------------------------------------------

export type Environment = "isolate" | "node";

export interface Module {
  path: string;
  source: string;
  sourceMap?: string;
  environment: Environment;
}

export interface ModuleHash {
  path: string;
  environment: Environment;
  sha256: string;
}

export interface PushRequest {
  dryRun: boolean;
  functions: string;
  app: {
    definition: Module | null;
    dependencies: string[];
    schema: Module | null;
    changedModules: Module[];
    unchangedModules: ModuleHash[];
    udfServerVersion: string;
  };
  components: ComponentSource[];
  nodeDependencies: NodeDependency[];
  nodeVersion: string | null;
}

/** A package that bundles for Node leave out. */
export interface NodeDependency {
  name: string;
  version: string;
}

export interface ComponentSource {
  definitionPath: string;
  definition: Module;
  dependencies: string[];
  schema: Module | null;
  functions: Module[];
  udfServerVersion: string;
}

// ---- Validators and schemas ---------------------------------------------------------------------

export type Validator =
  | { type: "null" | "number" | "bigint" | "boolean" | "string" | "bytes" | "any" | "commitTs" }
  | { type: "literal"; value: Json }
  | { type: "id"; tableName: string }
  | { type: "array"; value: Validator }
  | { type: "record"; keys: Validator; values: Field }
  | { type: "function"; fnType?: string; args?: Validator; returns?: Validator }
  | { type: "union"; value: Validator[] }
  | { type: "object"; value: { [field: string]: Field } };

export interface Field {
  fieldType: Validator;
  optional: boolean;
}

export interface DatabaseIndex {
  indexDescriptor: string;
  fields: string[];
}

export interface SearchIndex {
  indexDescriptor: string;
  searchField: string;
  filterFields: string[];
}

export interface VectorIndex {
  indexDescriptor: string;
  vectorField: string;
  dimensions: number;
  filterFields: string[];
}

export interface Table {
  tableName: string;
  indexes: DatabaseIndex[];
  stagedDbIndexes: DatabaseIndex[];
  searchIndexes: SearchIndex[];
  stagedSearchIndexes: SearchIndex[];
  vectorIndexes: VectorIndex[];
  stagedVectorIndexes: VectorIndex[];
  documentType: Validator | null;
}

export interface Schema {
  tables: Table[];
  schemaValidation: boolean;
}

// ---- What an isolate finds in modules -----------------------------------------------------------

/** A place in a bundle, counted from 1. */
export interface Frame {
  module: string;
  line: number;
  column: number;
  /** As a stack trace names it: `handler`, `new Crons`, `async fetchAll`. */
  name: string;
}

export interface Thrown {
  /** `Error: boom`, or the text of what was thrown when that is no error. */
  text: string;
  frames: Frame[];
  /** The last console lines before it. */
  logs: string[];
}

export type FunctionKind = "Query" | "Mutation" | "Action";

export interface ExportedFunction {
  name: string;
  kind: FunctionKind;
  visibility: "public" | "internal" | null;
  args: ExportedValidator;
  returns: ExportedValidator;
  handlerIsFunction: boolean;
  /** The handler's text in the bundle, by which its place is found; null where there is none. */
  handlerText: string | null;
}

export type ExportedValidator = { json: string | null } | { problem: string };

export interface ModuleExports {
  path: string;
  functions: ExportedFunction[];
  httpActions: string[];
  /** Of `http.js` alone. */
  router: Route[] | "missing" | "not a router" | null;
  /** Of `crons.js` alone: what `export()` returned. */
  crons: string | "missing" | "not crons" | null;
}

export interface Route {
  path: string;
  method: string;
}

// ---- A unit of evaluation -----------------------------------------------------------------------

export type Unit =
  | { kind: "functions"; modules: Module[]; entries: string[]; env: Record<string, string> }
  | { kind: "schema"; module: Module }
  | { kind: "auth"; module: Module; env: Record<string, string> }
  | { kind: "definition"; definitionPath: string; module: Module; env: Record<string, string> };

export type UnitValue =
  | { kind: "functions"; modules: ModuleExports[] }
  | { kind: "schema"; json: string | null; problem: "missing" | "not a schema" | null }
  | {
      kind: "auth";
      json: string | null;
      unset: string | null;
      problem: "missing" | "not json" | null;
    }
  | { kind: "definition"; json: string | null; problem: "missing" | "not a definition" | null };

/** Why a unit has no value. `module` is the path of the module being evaluated. */
export type Failure =
  | { reason: "threw"; unit: number; module: string; error: Thrown; varies?: boolean }
  | { reason: "suspended" | "timeout" | "memory" | "crashed"; unit: number; module: string };

// ---- What a push leaves -------------------------------------------------------------------------

/** A place in the project: `path` is relative to its root, line and column count from 1. */
export interface Position {
  path: string;
  line: number;
  column: number;
}

export interface AnalyzedFunction {
  name: string;
  udfType: FunctionKind;
  visibility: { kind: "public" | "internal" } | null;
  args: string | null;
  returns: string | null;
  pos: Position | null;
}

export interface AnalyzedModule {
  functions: AnalyzedFunction[];
  httpActions: string[];
  httpRoutes: Route[] | null;
  crons: Cron[] | null;
}

export type Schedule =
  | { type: "interval"; seconds: number }
  | { type: "hourly"; minuteUTC?: number }
  | { type: "daily"; hourUTC: number; minuteUTC?: number }
  | { type: "weekly"; dayOfWeek: string; hourUTC: number; minuteUTC?: number }
  | { type: "monthly"; day: number; hourUTC: number; minuteUTC?: number }
  | { type: "cron"; cronExpr: string };

export interface Cron {
  name: string;
  /** `mod:fn`, as written. */
  function: string;
  args: Json[];
  schedule: Schedule;
}

export interface AuthProvider {
  [key: string]: Json;
}

export type Exports =
  | { type: "leaf"; leaf: string }
  | { type: "branch"; branch: [string, Exports][] };

export type EnvBinding = { type: "value"; value: string } | { type: "envVar"; name: string };

export interface Definition {
  path: string;
  /** The name that the component gives itself; null for the app. */
  name: string | null;
  httpPrefix: string | null;
  childComponents: { name: string; path: string; env: [string, EnvBinding][] }[];
  httpMounts: Record<string, string>;
  exports: Exports;
  envVars: [string, { type: "value"; value: string; optional?: boolean }][];
}

export interface EvaluatedDefinition {
  definition: Definition;
  schema: Schema | null;
  functions: Map<string, AnalyzedModule>;
  /** What runs, by path, chunks included. */
  modules: Map<string, Module>;
  serverVersion: string;
}

export interface ComponentTree {
  definitionPath: string;
  componentPath: string;
  children: [string, ComponentTree][];
}

export type IndexConfig = {
  name: string;
  staged?: boolean;
} & (
  | { type: "database"; fields: string[] }
  | { type: "search"; searchField: string; filterFields: string[] }
  | { type: "vector"; dimensions: number; vectorField: string; filterFields: string[] }
);

export interface IndexDiff {
  added_indexes: IndexConfig[];
  removed_indexes: IndexConfig[];
  enabled_indexes: IndexConfig[];
  disabled_indexes: IndexConfig[];
}

/** Everything that one push makes live, together. */
export interface Push {
  id: string;
  /** The app's modules by path, chunks included: what later pushes are compared with. */
  modules: Map<string, Module>;
  definitions: Map<string, EvaluatedDefinition>;
  tree: ComponentTree;
  auth: AuthProvider[];
  nodeDependencies: NodeDependency[];
  /** The variables that the push was checked with. */
  env: Record<string, string>;
}

export type PushPhase = "request" | "modules" | "auth" | "schema" | "components" | "finish";

export interface PushOutcome {
  /** Counts the pushes that reached the server since its start. */
  number: number;
  /** failed: refused for a reason that is not the pushed code. */
  status: "none" | "started" | "refused" | "accepted" | "failed";
  phase: PushPhase | null;
  code: string | null;
  message: string | null;
  position: Position | null;
  table: string | null;
  index: string | null;
  component: string | null;
  /** What it asked for that is not known here, where it failed of that. */
  unknown: Feature | null;
}
