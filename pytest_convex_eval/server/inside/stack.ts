/** Where an error was thrown, as V8 says it and not as the error's text does. */

import { slice, startsWith, text as asText, uncurried } from "./captured.ts";
import type { Frame, Thrown } from "../protocol.ts";

/** Bundles are compiled under this scheme; every other frame is ours or Node's. */
export const SCHEME = "convex:/";

const RealError = Error;
const TRACE_FRAMES = 50;
const mapHas = uncurried(Map.prototype.has);
/** What V8 says of the receiver of a method that it has not. */
const RECEIVER = "incompatible receiver ";

const framesOf: WeakMap<object, Frame[]> = new WeakMap();
/** Set while call sites themselves are wanted. */
let caught: NodeJS.CallSite[] | null = null;

/** From now on the frames of every error whose stack is read are kept. Pushed code can't undo it. */
export function recordFrames() {
  Error.stackTraceLimit = TRACE_FRAMES;
  const prepare = (error: Error, sites: NodeJS.CallSite[]) => {
    if (caught !== null) {
      caught = sites;
      return "";
    }
    const frames: Frame[] = [];
    for (let i = 0; i < sites.length; i++) {
      const found = frame(sites[i] as NodeJS.CallSite);
      if (found !== null) frames[frames.length] = found;
    }
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
  // After the two functions above it here, and the one that asks.
  const caller = callSites()[3];
  const file = caller?.getFileName() ?? "";
  return startsWith(file, "node:");
}

/** The path of the module whose code has asked; null where there is none. */
export function callingModule() {
  const sites = callSites();
  for (let i = 0; i < sites.length; i++) {
    const file = sites[i]?.getFileName() ?? "";
    if (startsWith(file, SCHEME)) return slice(file, SCHEME.length);
  }
  return null;
}

/** Where the function is called from that asks for them, itself the first. */
function callSites(): NodeJS.CallSite[] {
  caught = [];
  // Pushed code can have set it.
  RealError.stackTraceLimit = TRACE_FRAMES;
  void new RealError().stack;
  const sites = caught;
  caught = null;
  return sites;
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
    if (error instanceof RealError) {
      void error.stack;
      frames = framesOf.get(error) ?? [];
      text = asText(error);
    } else text = shown(error);
  } catch {
    // The text above will do.
  }
  return { text: slice(text, 0, 20_000), frames, logs };
}

/** What is no error, as V8 shows it: `#<Object>`. It says so of what a method is called on that is not for it. */
function shown(thrown: unknown): string {
  try {
    mapHas(thrown as Map<unknown, unknown>, undefined);
  } catch (error) {
    const { message } = error as Error;
    return slice(message, message.indexOf(RECEIVER) + RECEIVER.length);
  }
  return "#<Map>";
}
