"""A deployment whose functions are only noted, as pieces for `in_server` use it."""

LIVE = """
  const functions = { "a:write": "Mutation", "a:act": "Action", "a:read": "Query" };
  const run = ({ path, args: given }, transaction) => {
    if (given.throws) throw new FunctionFailure(`no ${path}`);
    if (transaction !== null) transaction.insert("", "t", { by: given.by });
    return null;
  };
  const app = deploy(push({ functions, crons: args.crons ?? [] }), { run });
  const { services } = app;
  const { scheduler, functions: all, tables } = services;
  const frame = { component: "" };
  const schedule = (transaction, after, given = {}, name = "a:write") =>
    scheduler.schedule(transaction, frame, { name, ts: (transaction.now + after) / 1000,
      args: given });
  const later = (...given) => all.transaction((transaction) => schedule(transaction, ...given));
  const cancel = (id) => all.transaction((transaction) => scheduler.cancel(transaction, "", id));
  const row = (id) => tables.find("", "_scheduled_functions").documents.get(id);
  const kinds = () => tables.find("", "_scheduled_functions").inOrder().map(({ state }) =>
    state.kind);
  const written = () => plain(rows(tables, "t")).map(({ by }) => by);
"""
