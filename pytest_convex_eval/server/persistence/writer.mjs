/**
 * The thread that writes: what came while it waited for the disk goes there together, in one transaction, and is
 * acknowledged once it is there. Batches are never split.
 * @import { Message, StatementName } from "./format.mjs"
 * @import { StatementSync } from "node:sqlite"
 */

import { DatabaseSync } from "node:sqlite";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";

import { STATEMENTS } from "./format.mjs";

if (parentPort === null) throw new Error("The writer runs as a worker thread.");
const port = parentPort;
const database = new DatabaseSync(workerData.path);
database.exec("PRAGMA synchronous = FULL");
/** @type {Map<StatementName, StatementSync>} */
const prepared = new Map();

/** @param {StatementName} name */
function statement(name) {
  const known = prepared.get(name);
  if (known !== undefined) return known;
  const made = database.prepare(STATEMENTS[name]);
  prepared.set(name, made);
  return made;
}

/** All messages that wait. @param {Message} first */
function* waiting(first) {
  yield first;
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    yield /** @type {Message} */ (next.message);
  }
}

port.on("message", (/** @type {Message} */ first) => {
  let written = 0;
  let isOver = false;
  database.exec("BEGIN IMMEDIATE");
  for (const message of waiting(first)) {
    if (message === "close") {
      isOver = true;
      break;
    }
    for (const [name, ...parameters] of message.operations) statement(name).run(...parameters);
    written = message.sequence;
  }
  database.exec("COMMIT");
  if (written > 0) port.postMessage(written);
  if (!isOver) return;
  database.close();
  port.close();
});
