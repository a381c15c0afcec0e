"""A deployment that data are imported into, as pieces for `in_server` use it."""

LIVE = """
  const app = deploy(push({ tables: args.tables ?? {} }));
  const { services, imports } = app;
  const { tables, functions: all, storage } = services;
  const lines = (rows) => Buffer.from(rows.map((row) => JSON.stringify(row)).join("\\n"));
  const begun = (bytes, options = {}) => {
    const token = imports.startUpload();
    imports.addPart(token, 1, bytes);
    const given = { format: "jsonLines", mode: "requireEmpty", table: "t", component: null,
      ...options };
    return imports.finishUpload(token, given);
  };
  const perform = async (id) => (await imports.perform(id), imports.describe(id).state);
  const load = (rows, options) => perform(begun(lines(rows), options));
  const insert = (table, ...some) => all.transaction((it) => some.map((row) => it.insert("",
    table, row)));
  const number = (table) => tables.find("", table)?.number ?? null;
  const whole = () => JSON.stringify([tables.all().map(({ name, number, documents }) =>
    [name, number, [...documents]])
    .sort(), tables.counters.userTables]);
  const idOf = (table, n) => encodeId(table, Buffer.alloc(16, n));
"""
