/**
 * The thread that writes: what came while it waited for the disk goes there together, in one transaction, and is
 * acknowledged once it is there. Batches are never split.
 */

import { DatabaseSync } from "node:sqlite";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";

import { STATEMENTS } from "./format.ts";
import type { Message, StatementName } from "./format.ts";
import type { StatementSync } from "node:sqlite";

if (parentPort === null) throw new Error("The writer runs as a worker thread.");
const port = parentPort;
const database = new DatabaseSync(workerData.path);
database.exec("PRAGMA synchronous = FULL");
const prepared: Map<StatementName, StatementSync> = new Map();

function statement(name: StatementName) {
  const known = prepared.get(name);
  if (known !== undefined) return known;
  const made = database.prepare(STATEMENTS[name]);
  prepared.set(name, made);
  return made;
}

/** All messages that wait. */
function* waiting(first: Message) {
  yield first;
  for (
    let next = receiveMessageOnPort(port);
    next !== undefined;
    next = receiveMessageOnPort(port)
  ) {
    yield next.message as Message;
  }
}

port.on("message", (first: Message) => {
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
