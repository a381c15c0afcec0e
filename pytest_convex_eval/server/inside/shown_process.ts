/** The `process` of "use node" modules: it says what any program may know and can do nothing. */

import {
  arch,
  features,
  hrtime,
  memoryUsage,
  nextTick,
  platform,
  release,
  version,
  versions,
} from "./own_node.ts";

let shown: Record<string, unknown> | null = null;

export function shownProcess(): Record<string, unknown> {
  if (shown !== null) return shown;
  const events = Object.fromEntries(
    ["on", "once", "off", "addListener", "removeListener", "removeAllListeners", "emit"].map(
      (name) => [name, () => shown],
    ),
  );
  const sink = { write: () => true, isTTY: false, fd: -1, on: () => sink, once: () => sink };
  shown = {
    ...{ version, versions, platform, arch, release, features },
    ...events,
    ...{ argv: ["node"], execArgv: [], pid: 1, ppid: 0, title: "node", exitCode: undefined },
    ...{ stdout: sink, stderr: sink, stdin: sink },
    cwd: () => "/",
    uptime: () => 0,
    ...{ hrtime, memoryUsage, nextTick },
    emitWarning: () => {},
    listeners: () => [],
    listenerCount: () => 0,
    exit: () => {
      throw new Error("process.exit() is unavailable at import time");
    },
  };
  return shown;
}
