/** A deployment's data in a folder: one SQLite file in WAL mode, held by one server at a time. */

import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { Worker } from "node:worker_threads";

import { APPLICATION_ID, CREATE, FORMAT } from "./format.ts";
import type { Message, Operation } from "./format.ts";

const DATABASE = "deployment.sqlite3";
const LOCK = "lock";
/** SQLite's result codes (https://sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

/** The folder can't be used; the message says why, and the way out. */
export class StoreError extends Error {
  name = "StoreError";
}

export class Store {
  lock: DatabaseSync;
  database: DatabaseSync;
  fileBytes: StatementSync;
  worker: Worker;
  #pending: Operation[] = [];
  #sent = 0;
  #written = 0;
  #waiting: { sequence: number; resolve: () => void }[] = [];

  /** Takes the folder, which is made if there is none. @throws StoreError */
  constructor(folder: string) {
    const file = path.join(folder, DATABASE);
    this.lock = lock(folder);
    this.database = open(file);
    this.fileBytes = this.database.prepare("SELECT bytes FROM files WHERE uuid = ?");
    this.worker = new Worker(new URL("writer.ts", import.meta.url), { workerData: { path: file } });
    this.worker.on("message", (sequence: number) => this.#acknowledge(sequence));
    this.worker.on("error", (error) => {
      // What was done in memory can't be kept: to go on would be to lie.
      console.error(`The data in ${folder} can't be written: ${error.message}`);
      process.exit(1);
    });
  }

  /** Puts an operation into the next batch. */
  add(...operation: Operation) {
    this.#pending.push(operation);
  }

  /** Hands over what was added: it will be written all of it or nothing. */
  flush() {
    if (this.#pending.length === 0) return;
    this.#sent += 1;
    this.#send({ sequence: this.#sent, operations: this.#pending });
    this.#pending = [];
  }

  #send(message: Message) {
    this.worker.postMessage(message);
  }

  /** Until all that was handed over is on the disk. */
  durable(): Promise<void> {
    if (this.#written >= this.#sent) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ sequence: this.#sent, resolve }));
  }

  #acknowledge(sequence: number) {
    this.#written = sequence;
    // They stand in the order of their sequences.
    const left = this.#waiting.findIndex((each) => each.sequence > sequence);
    for (const { resolve } of this.#waiting.splice(0, left < 0 ? this.#waiting.length : left))
      resolve();
  }

  /** The bytes of a stored file. */
  file(uuid: string): Buffer {
    const bytes = this.fileBytes.get(uuid)?.["bytes"];
    if (!(bytes instanceof Uint8Array)) throw new Error(`The file ${uuid} is not in the store.`);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Writes what is pending and lets go of the folder. */
  async close() {
    this.flush();
    const ended = new Promise((resolve) => this.worker.once("exit", resolve));
    this.#send("close");
    await ended;
    this.database.close();
    this.lock.close();
  }
}

/** Keeps others out for as long as this process lives, however it ends: the kernel lets go of the lock. */
function lock(folder: string) {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const held = new DatabaseSync(path.join(folder, LOCK), { timeout: 0 });
    held.exec("BEGIN EXCLUSIVE");
    return held;
  } catch (error) {
    if (resultCode(error) === SQLITE_BUSY) {
      throw new StoreError(
        `the data in ${folder} is in use by another server: stop that one, or name another folder`,
      );
    }
    throw new StoreError(`no data can be kept in ${folder}: ${messageOf(error)}`);
  }
}

function open(file: string) {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    database.exec("PRAGMA synchronous = FULL");
    const isNew =
      database.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"] === 0;
    if (isNew) {
      database.exec("PRAGMA journal_mode = WAL");
      database.exec(
        `BEGIN IMMEDIATE; ${CREATE} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}; COMMIT`,
      );
    }
  } catch (error) {
    throw new StoreError(`${file} can't be read: ${messageOf(error)}`);
  }
  if (database.prepare("PRAGMA application_id").get()?.["application_id"] !== APPLICATION_ID) {
    throw new StoreError(`${file} is a database of another program: name another folder`);
  }
  const format = database.prepare("PRAGMA user_version").get()?.["user_version"];
  if (format !== FORMAT) {
    throw new StoreError(
      `${file} was written by another version of this package (format ${format}, here ${FORMAT}): use that version, or name another folder`,
    );
  }
  return database;
}

function resultCode(error: unknown) {
  return error instanceof Error && "errcode" in error ? error.errcode : null;
}

function messageOf(error: unknown) {
  return error instanceof Error ? error.message : String(error);
}
