/**
 * What isolates say, as far as it can be believed: their lines begin with a secret that pushed code doesn't know, have
 * a limit, and are of one of these forms. Any other line is pushed code's doing, and ends the process.
 */

import { randomBytes } from "node:crypto";

import type { Failure, Frame, Json, UnitValue } from "../protocol.ts";

/** A unit's value, a function's result, or the body of a response: a longer one is an attack. */
export const MAX_LINE_CHARACTERS = 64 * 1024 * 1024;

export type Message =
  | { type: "ready" }
  | { type: "spoilt" }
  | { type: "syscall"; call: number; id: number; op: string; args: string }
  | { type: "log"; call: number; line: string }
  | { type: "forget"; call: number; queryId: number; taken: number }
  | ({ type: "done"; call: number; heap: number } & ({ value: string } | { error: ThrownInCall }));

/**
 * What a function threw: its text and its frames in the bundle. `isOurs`: it threw nothing, and the text is what there
 * is to say of it.
 */
export type ThrownInCall = { text: string; frames: Frame[]; data?: Json; isOurs?: boolean };

export type Finding =
  | { type: "entered"; unit: number; module: string }
  | { type: "value"; unit: number; value: UnitValue }
  | { type: "failed"; failure: Failure }
  | { type: "end" };

export function newSecret() {
  return randomBytes(16).toString("hex");
}

/** @returns null for a line that is none of ours */
export function readMessage(line: string, secret: string): Message | null {
  const said = read(line, secret);
  if (said === null) return null;
  const { type, call } = said;
  if (type === "ready") return { type };
  if (type === "spoilt") return { type };
  if (!isCount(call)) return null;
  switch (type) {
    case "syscall": {
      const { id, op, args } = said;
      if (!isCount(id) || typeof op !== "string" || typeof args !== "string") return null;
      return { type, call, id, op, args };
    }
    case "log":
      return typeof said["line"] === "string" ? { type, call, line: said["line"] } : null;
    case "forget": {
      const { queryId, taken } = said;
      return isCount(queryId) && isCount(taken) ? { type, call, queryId, taken } : null;
    }
    case "done": {
      const { heap, value, error } = said;
      if (!isCount(heap)) return null;
      if (typeof value === "string") return { type, call, heap, value };
      return isThrown(error) ? { type, call, heap, error } : null;
    }
    default:
      return null;
  }
}

/** The same of an evaluation; that its values have the form that they say, `inside/exports.ts` sees to. */
export function readFinding(line: string, secret: string): Finding | null {
  const said = read(line, secret);
  if (said === null) return null;
  const { type, unit } = said;
  if (type === "end") return { type };
  if (type === "failed")
    return isRecord(said["failure"]) ? { type, failure: said["failure"] as Failure } : null;
  if (!isCount(unit)) return null;
  if (type === "entered")
    return typeof said["module"] === "string" ? { type, unit, module: said["module"] } : null;
  if (type === "value")
    return isRecord(said["value"]) ? { type, unit, value: said["value"] as UnitValue } : null;
  return null;
}

function read(line: string, secret: string): Record<string, unknown> | null {
  if (!line.startsWith(secret)) return null;
  try {
    const said: unknown = JSON.parse(line.slice(secret.length));
    return isRecord(said) ? said : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isThrown(value: unknown): value is ThrownInCall {
  return isRecord(value) && typeof value["text"] === "string" && isFrames(value["frames"]);
}

function isFrames(value: unknown): value is Frame[] {
  const isFrame = (each: unknown) =>
    isRecord(each) &&
    ["module", "name"].every((name) => typeof each[name] === "string") &&
    ["line", "column"].every((name) => isCount(each[name]));
  return Array.isArray(value) && value.every(isFrame);
}
