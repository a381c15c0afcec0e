/**
 * The pitfalls of Convex as rules, for ESLint 9 and newer and for oxlint; types are not needed.
 *
 * One page a rule: `docs/rules/`. `facts` is for programs that look at all files at once.
 */

import argsValidator from "./args-validator.mjs";
import boundedTake from "./bounded-take.mjs";
import cronHelpers from "./cron-helpers.mjs";
import cronInterval from "./cron-interval.mjs";
import duplicateIndex from "./duplicate-index.mjs";
import explicitTableName from "./explicit-table-name.mjs";
import facts from "./facts.mjs";
import fileNames from "./file-names.mjs";
import httpRoutes from "./http-routes.mjs";
import indexName from "./index-name.mjs";
import internalTargets from "./internal-targets.mjs";
import noCollectLength from "./no-collect-length.mjs";
import noDateInQuery from "./no-date-in-query.mjs";
import noHardcodedSecret from "./no-hardcoded-secret.mjs";
import noKnownAny from "./no-known-any.mjs";
import noNodeBuiltin from "./no-node-builtin.mjs";
import noQueryFilter from "./no-query-filter.mjs";
import noQueryInLoop from "./no-query-in-loop.mjs";
import noRunInLoop from "./no-run-in-loop.mjs";
import noSequentialRuns from "./no-sequential-runs.mjs";
import noSubtransaction from "./no-subtransaction.mjs";
import noSystemFieldInIndex from "./no-system-field-in-index.mjs";
import noSystemFieldInTable from "./no-system-field-in-table.mjs";
import noUnboundedReadLoop from "./no-unbounded-read-loop.mjs";
import noUnboundedWriteLoop from "./no-unbounded-write-loop.mjs";
import noUnindexedCollect from "./no-unindexed-collect.mjs";
import nodeActionsOnly from "./node-actions-only.mjs";
import oldFunctionSyntax from "./old-function-syntax.mjs";
import prefixIndex from "./prefix-index.mjs";
import returnsValidator from "./returns-validator.mjs";
import routePath from "./route-path.mjs";
import subjectAsKey from "./subject-as-key.mjs";
import transactionLimits from "./transaction-limits.mjs";
import userIdArgument from "./user-id-argument.mjs";

export default {
  meta: { name: "convex-eval" },
  rules: {
    "args-validator": argsValidator,
    "bounded-take": boundedTake,
    "cron-helpers": cronHelpers,
    "cron-interval": cronInterval,
    "duplicate-index": duplicateIndex,
    "explicit-table-name": explicitTableName,
    facts,
    "file-names": fileNames,
    "http-routes": httpRoutes,
    "index-name": indexName,
    "internal-targets": internalTargets,
    "no-collect-length": noCollectLength,
    "no-date-in-query": noDateInQuery,
    "no-hardcoded-secret": noHardcodedSecret,
    "no-known-any": noKnownAny,
    "no-node-builtin": noNodeBuiltin,
    "no-query-filter": noQueryFilter,
    "no-query-in-loop": noQueryInLoop,
    "no-run-in-loop": noRunInLoop,
    "no-sequential-runs": noSequentialRuns,
    "no-subtransaction": noSubtransaction,
    "no-system-field-in-index": noSystemFieldInIndex,
    "no-system-field-in-table": noSystemFieldInTable,
    "no-unbounded-read-loop": noUnboundedReadLoop,
    "no-unbounded-write-loop": noUnboundedWriteLoop,
    "no-unindexed-collect": noUnindexedCollect,
    "node-actions-only": nodeActionsOnly,
    "old-function-syntax": oldFunctionSyntax,
    "prefix-index": prefixIndex,
    "returns-validator": returnsValidator,
    "route-path": routePath,
    "subject-as-key": subjectAsKey,
    "transaction-limits": transactionLimits,
    "user-id-argument": userIdArgument,
  },
};
