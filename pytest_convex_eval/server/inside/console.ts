/** `console` as pushed code sees it: lines that are kept with their level. */

import { objectInspect } from "./object_inspect.ts";
import { inspect } from "./own_node.ts";

export type Level = "DEBUG" | "ERROR" | "INFO" | "LOG" | "WARN";

export interface Lines {
  write: (level: Level, line: string) => void;
  now: () => number;
  /** When timers were started, by label. */
  timers: () => Map<string, number>;
}

const LEVELS: [string, Level][] = [
  ["debug", "DEBUG"],
  ["error", "ERROR"],
  ["info", "INFO"],
  ["log", "LOG"],
  ["warn", "WARN"],
  ["trace", "LOG"],
];

/** Of the default runtime: these methods and no others. */
export function makeConsole(lines: Lines): Record<string, (...values: unknown[]) => void> {
  const elapsed = (label: string, values: unknown[]) => {
    const started = lines.timers().get(label);
    if (started === undefined) return lines.write("WARN", `Timer '${label}' does not exist`);
    const shown = [
      `${label}: ${Math.round(lines.now() - started)}ms`,
      ...values.map(objectInspect),
    ];
    lines.write("INFO", shown.join(" "));
  };
  return {
    ...writers(lines, objectInspect),
    time: (label: unknown = "default") => {
      const name = String(label);
      if (lines.timers().has(name)) return lines.write("WARN", `Timer '${name}' already exists`);
      lines.timers().set(name, lines.now());
    },
    timeLog: (label: unknown = "default", ...values) => elapsed(String(label), values),
    timeEnd: (label: unknown = "default") => {
      const name = String(label);
      elapsed(name, []);
      lines.timers().delete(name);
    },
  };
}

/** Of Node actions: Node's methods. What has no level there writes nothing, but for what shows a value. */
export function makeNodeConsole(
  lines: Lines,
  usual: object,
): Record<string, (...values: unknown[]) => void> {
  const shown = writers(lines, inspect);
  const others = Object.entries(usual).filter(([, method]) => typeof method === "function");
  return {
    ...Object.fromEntries(others.map(([name]) => [name, () => {}])),
    ...shown,
    dir: (value: unknown) => shown["log"]?.(value),
    table: (value: unknown) => shown["log"]?.(value),
  };
}

function writers(lines: Lines, show: (value: unknown) => string) {
  return Object.fromEntries(
    LEVELS.map(([name, level]) => [
      name,
      (...values: unknown[]) => lines.write(level, values.map((value) => show(value)).join(" ")),
    ]),
  );
}
