/**
 * What our own programs use of Node, got without `import`: that reads every export of a module, those too that Node
 * makes when they are read first. The standard streams and those of files take 5 ms of an isolate's start.
 */

export const { process } = globalThis;
export const { writeSync } = process.getBuiltinModule("node:fs");
