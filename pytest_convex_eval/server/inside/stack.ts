/** Where an error was thrown, as V8 says it and not as the error's text does. */

import type { Frame, Thrown } from "../protocol.ts";

/** Bundles are compiled under this scheme; every other frame is ours or Node's. */
export const SCHEME = "convex:/";

const framesOf: WeakMap<object, Frame[]> = new WeakMap();
/** Set while call sites themselves are wanted. */
let caught: NodeJS.CallSite[] | null = null;

/** From now on the frames of every error whose stack is read are kept. Pushed code can't undo it. */
export function recordFrames() {
  Error.stackTraceLimit = 50;
  const prepare = (error: Error, sites: NodeJS.CallSite[]) => {
    if (caught !== null) {
      caught = sites;
      return "";
    }
    const frames = sites.map(frame).filter((each) => each !== null);
    framesOf.set(error, frames);
    return [String(error), ...frames.map((each) => `    at ${each.name}`)].join("\n");
  };
  Object.defineProperty(Error, "prepareStackTrace", {
    get: () => prepare,
    set: () => {},
    configurable: false,
  });
}

/** Whether the caller of the function that asks is Node's own JavaScript. */
export function calledByNode() {
  caught = [];
  void new Error().stack;
  const [, , caller] = caught;
  caught = null;
  return caller?.getFileName()?.startsWith("node:") ?? false;
}

function frame(site: NodeJS.CallSite): Frame | null {
  const file = site.getFileName() ?? "";
  const line = site.getLineNumber();
  const column = site.getColumnNumber();
  if (!file.startsWith(SCHEME) || line === null || column === null) return null;
  const own = site.getFunctionName() ?? site.getMethodName() ?? "<anonymous>";
  const type = site.isToplevel() || site.isConstructor() ? null : site.getTypeName();
  const qualified = type !== null && !own.includes(".") ? `${type}.${own}` : own;
  const name = site.isConstructor() ? `new ${own}` : site.isAsync() ? `async ${own}` : qualified;
  return { module: file.slice(SCHEME.length), line, column, name };
}

/**
 * What was thrown, for a report. Hostile values (a throwing getter, an endless text) are borne.
 * @param logs the console lines before it
 */
export function describe(error: unknown, logs: string[]): Thrown {
  let text = "an error that can't be described";
  let frames: Frame[] = [];
  try {
    if (error instanceof Error) {
      void error.stack;
      frames = framesOf.get(error) ?? [];
    }
    text = String(error);
  } catch {
    // The text above will do.
  }
  return { text: text.slice(0, 20_000), frames, logs };
}
