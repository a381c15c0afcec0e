/**
 * What a deployment's file holds, and the statements that change it.
 */

/** Counts the changes of what is kept, the shape of a push among it, that other servers can't read. */
export const FORMAT = 1;
/** Tells our files from other SQLite databases: "CvxE". */
export const APPLICATION_ID = 0x43767845;

export const CREATE = `
  CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE variables (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE tables (number INTEGER PRIMARY KEY, component TEXT NOT NULL, name TEXT NOT NULL) STRICT;
  CREATE TABLE documents (id TEXT NOT NULL UNIQUE, table_number INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
  CREATE TABLE files (
    uuid TEXT NOT NULL UNIQUE, id TEXT NOT NULL, component TEXT NOT NULL, bytes BLOB NOT NULL
  ) STRICT;
  CREATE TABLE jobs (
    id TEXT NOT NULL UNIQUE, component TEXT NOT NULL, path TEXT NOT NULL, owner TEXT NOT NULL
  ) STRICT;
  CREATE TABLE answers (key TEXT NOT NULL UNIQUE, json TEXT NOT NULL) STRICT;
  CREATE TABLE crons (key TEXT NOT NULL PRIMARY KEY, cron TEXT NOT NULL, next REAL) STRICT, WITHOUT ROWID;
`;

/** Rows keep their place when they are changed: that is the order in which they are read back. */
export const STATEMENTS = {
  putMeta: "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  putVariable: "INSERT INTO variables VALUES (?, ?)",
  clearVariables: "DELETE FROM variables",
  putTable: "INSERT INTO tables VALUES (?, ?, ?)",
  dropTable: "DELETE FROM tables WHERE number = ?",
  putDocument:
    "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json",
  dropDocument: "DELETE FROM documents WHERE id = ?",
  dropDocuments: "DELETE FROM documents WHERE table_number = ?",
  putFile: "INSERT INTO files VALUES (?, ?, ?, ?)",
  dropFile: "DELETE FROM files WHERE uuid = ?",
  dropFiles: "DELETE FROM files WHERE component = ?",
  putJob: "INSERT INTO jobs VALUES (?, ?, ?, ?)",
  dropJob: "DELETE FROM jobs WHERE id = ?",
  putAnswer: "INSERT OR REPLACE INTO answers VALUES (?, ?)",
  dropAnswers: "DELETE FROM answers WHERE rowid <= (SELECT max(rowid) FROM answers) - ?",
  putCron:
    "INSERT INTO crons VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET next = excluded.next",
  clearCrons: "DELETE FROM crons",
  clearTables: "DELETE FROM tables",
  clearDocuments: "DELETE FROM documents",
  clearFiles: "DELETE FROM files",
  clearJobs: "DELETE FROM jobs",
} as const;

export type StatementName = keyof typeof STATEMENTS;
/** A statement and its parameters. */
export type Operation = [StatementName, ...(string | number | null | Uint8Array)[]];
/** What the writer is sent; `close` ends it. */
export type Message = { sequence: number; operations: Operation[] } | "close";
