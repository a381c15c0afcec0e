/** Answers questions about values, ids and tables, a line of JSON each, with the server's own modules. */

import readline from "node:readline";

const [, , folder] = process.argv;
const load = (path) => import(new URL(path, folder).href);
const { keyOf } = await load("values/keys.ts");
const { decodeId, encodeId } = await load("values/ids.ts");
const { parseValue, sizeOf, display } = await load("values/values.ts");
const { Tables } = await load("database/tables.ts");
const { Transaction } = await load("database/transaction.ts");
const { QueryStream, readPage } = await load("database/query.ts");

const attempt = (work) => {
  try {
    return { ok: work() };
  } catch (error) {
    return { error: error.message };
  }
};
const schema = {
  schemaValidation: true,
  tables: [
    {
      tableName: "t",
      documentType: null,
      indexes: [{ indexDescriptor: "by_ab", fields: ["a", "b", "_creationTime"] }],
      ...{
        stagedDbIndexes: [],
        searchIndexes: [],
        stagedSearchIndexes: [],
        vectorIndexes: [],
        stagedVectorIndexes: [],
      },
    },
  ],
};
const open = () => {
  const tables = new Tables();
  tables.useSchemas(new Map([["", schema]]));
  return tables;
};
const read = (transaction, query) => {
  const stream = new QueryStream(transaction, "", query);
  const rows = [];
  for (let row = stream.next(); row !== null; row = stream.next()) rows.push(row);
  return rows;
};
const strip = ({ _id, _creationTime, ...rest }) => rest;
const scan = (order = "asc") => ({
  source: { type: "FullTableScan", tableName: "t", order },
  operators: [],
});
const commands = {
  compare: ({ a, b }) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0),
  parse: ({ value }) => attempt(() => parseValue(value)),
  size: ({ value }) => sizeOf(value),
  display: ({ value }) => display(value),
  encode: ({ table, internal }) => encodeId(table, Buffer.from(internal, "hex")),
  decode: ({ id }) => {
    const d = decodeId(id);
    return d && { table: d.table, internal: Buffer.from(d.internal).toString("hex") };
  },
  range: ({ documents, range, order }) => {
    const transaction = new Transaction(open(), 1000);
    for (const each of documents) transaction.insert("", "t", each);
    return read(transaction, {
      source: { type: "IndexRange", indexName: "t.by_ab", range, order },
      operators: [],
    }).map(strip);
  },
  page: ({ documents, size, order }) => {
    const tables = open();
    const transaction = new Transaction(tables, 1000);
    for (const each of documents) transaction.insert("", "t", each);
    const pages = [];
    for (let cursor = null; ; ) {
      const result = readPage(transaction, "", { query: scan(order), cursor, pageSize: size });
      const again = readPage(transaction, "", {
        query: scan(order),
        cursor,
        endCursor: result.continueCursor,
        pageSize: 1,
      });
      if (JSON.stringify(again.page) !== JSON.stringify(result.page))
        throw new Error("a page changed");
      pages.push(result.page.map(strip));
      if (result.isDone) return pages;
      cursor = result.continueCursor;
    }
  },
  transactions: ({ steps }) => {
    const tables = open();
    const ids = [];
    const states = [];
    for (const { ops, fails } of steps) {
      const transaction = new Transaction(tables, 1000);
      const made = [];
      for (const { op, at, value } of ops) {
        const id = ids[at % Math.max(ids.length, 1)];
        if (op === "insert") made.push(transaction.insert("", "t", { a: value }));
        else if (op === "patch") attempt(() => transaction.patch("", { id, value: { b: value } }));
        else if (op === "sub") {
          const place = transaction.savepoint();
          transaction.insert("", "t", { a: value });
          transaction.rollBack(place);
        } else attempt(() => transaction.remove("", { id }));
      }
      if (fails) transaction.abort();
      else {
        transaction.commit();
        ids.push(...made);
      }
      const reader = new Transaction(tables, 1000);
      const byIndex = read(reader, {
        source: { type: "IndexRange", indexName: "t.by_ab", range: [], order: "asc" },
        operators: [],
      });
      states.push({ rows: read(reader, scan()).map(strip), indexed: byIndex.length });
    }
    return states;
  },
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, args] = JSON.parse(line);
  const answer = commands[name](args);
  process.stdout.write(`${JSON.stringify(answer === undefined ? null : answer)}\n`);
}
