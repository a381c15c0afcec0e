/** System functions over everything else that a deployment has: variables, files, what is scheduled, imports. */

import { readPage } from "../../database/query.ts";
import { SCHEDULED, STORAGE } from "../../database/tables.ts";
import { UserError } from "../../database/user_error.ts";
import { APP } from "../../push/definitions.ts";
import { EXPORTS } from "../../transfer/exports.ts";
import { IMPORTS } from "../../transfer/imports.ts";
import { parseValue } from "../../values/values.ts";
import type { Document } from "../../database/sorted_index.ts";
import type { Deployment } from "../../deployment.ts";
import type { Asked, SystemFunctions } from "../system_functions.ts";

const END = "end";
const NOTHING = { page: [], isDone: true, continueCursor: END };

export const STATE: SystemFunctions = {
  "frontend/deploymentState:deploymentState": () => ({ state: "running" }),
  "frontend/backendState:backendState": () => ({ state: "running" }),
  "frontend/convexCloudUrl": ({ deployment }) => deployment.urls.cloud,
  "frontend/convexSiteUrl": ({ deployment }) => deployment.urls.site,
  "cli/convexUrl:cloudUrl": ({ deployment }) => deployment.urls.cloud,
  "cli/convexUrl:siteUrl": ({ deployment }) => deployment.urls.site,
  "frontend/listEnvironmentVariables": ({ deployment }) => listVariables(deployment),
  "cli/queryEnvironmentVariables": ({ deployment }) => listVariables(deployment),
  "cli/queryEnvironmentVariables:get": ({ deployment, args }) => {
    // CLIs around 1.31.7 ask for the platform's own, and refuse to push without.
    const builtins = {
      CONVEX_CLOUD_URL: deployment.urls.cloud,
      CONVEX_SITE_URL: deployment.urls.site,
    };
    const value =
      deployment.variables.get(args.name) ?? new Map(Object.entries(builtins)).get(args.name);
    return value === undefined ? null : { name: args.name, value };
  },
  // No audit log is kept, and logs go nowhere else.
  "frontend/deploymentEvents:lastPushEvent": () => null,
  "frontend/listDeploymentEventsFromTime": () => [],
  "frontend/paginatedDeploymentEvents": () => NOTHING,
  "frontend/listConfiguredSinks": () => [],
  "frontend/fileStorageV2:numFiles": (asked) => files(asked).length,
  "frontend/fileStorageV2:fileMetadata": (asked) => {
    const { numItems, cursor = null } = asked.args.paginationOpts;
    const { transaction, component } = asked;
    const source = { type: "FullTableScan" as const, tableName: STORAGE, order: "desc" as const };
    const found = readPage(transaction, component, {
      query: { source, operators: [] },
      cursor,
      pageSize: numItems,
    });
    return { ...found, page: found.page.map((each) => withUrl(asked, each)) };
  },
  "frontend/fileStorageV2:getFile": (asked) => {
    const found = files(asked).find((each) => each["_id"] === asked.args.storageId);
    return found === undefined ? null : withUrl(asked, found);
  },
  "frontend/paginatedScheduledJobs": scheduledJobs,
  "frontend/scheduler:getArgs": ({ transaction, component, args }) => {
    transaction.dependOn(component, SCHEDULED);
    return transaction.tables.find(component, SCHEDULED)?.documents.get(args.id)?.["args"] ?? null;
  },
  "frontend/snapshotImport:list": listImports,
  "cli/queryImport": ({ deployment, transaction, args }) => {
    transaction.dependOn(APP, IMPORTS);
    return deployment.imports.describe(String(args.importId));
  },
  "cli/queryImport:list": listImports,
  "cli/exports:getLatest": ({ deployment, transaction }) => {
    transaction.dependOn(APP, EXPORTS);
    return deployment.exports.latest();
  },
};

function listVariables(deployment: Deployment) {
  return [...deployment.variables].map(([name, value], i) =>
    parseValue({ _id: `variable-${i}`, _creationTime: 0, name, value }),
  );
}

function files({ transaction, component }: Asked): Document[] {
  transaction.dependOn(component, STORAGE);
  return [...(transaction.tables.find(component, STORAGE)?.documents.values() ?? [])];
}

function withUrl({ deployment, transaction, component }: Asked, file: Document) {
  return {
    contentType: null,
    ...file,
    url: deployment.services.storage.url(transaction, component, String(file["_id"])),
  };
}

/** Those that have not ended, the next first; a cursor is how many came before. */
function scheduledJobs({ transaction, component, args }: Asked) {
  transaction.dependOn(component, SCHEDULED);
  const { numItems, cursor = null } = args.paginationOpts;
  if (cursor === END) return NOTHING;
  const from = Number(cursor ?? 0);
  if (!Number.isInteger(from))
    throw new UserError(`${cursor} is no cursor of scheduled functions.`);
  const open = [...(transaction.tables.find(component, SCHEDULED)?.documents.values() ?? [])]
    .filter(({ state }) => kindOf(state) === "pending" || kindOf(state) === "inProgress")
    .sort((a, b) => Number(a["scheduledTime"]) - Number(b["scheduledTime"]));
  const until = from + numItems;
  const isDone = until >= open.length;
  return { page: open.slice(from, until), isDone, continueCursor: isDone ? END : String(until) };
}

function kindOf(state: unknown) {
  return typeof state === "object" && state !== null && "kind" in state ? state.kind : null;
}

function listImports({ deployment, transaction }: Asked) {
  transaction.dependOn(APP, IMPORTS);
  return deployment.imports.list();
}
