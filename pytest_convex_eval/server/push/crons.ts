/** Cron jobs: what the server itself has to check (the library checks the rest when it is imported). */

import { Refusal } from "../errors.ts";
import type { AnalyzedModule, Cron, Schedule } from "../protocol.ts";
import type { Origins } from "./modules.ts";

const MODULE = "crons.js";
const WEEKDAYS = "sunday monday tuesday wednesday thursday friday saturday".split(" ");

/**
 * @param json what `export()` returned
 * @returns in the order of definition
 */
export function checkCrons(json: string, path: string, origins: Origins): Cron[] {
  return Object.entries(JSON.parse(json) as Record<string, any>).map(([name, raw]) => {
    const position = origins.find(path, JSON.stringify(name));
    const refuse = (reason: string) =>
      new Refusal("InvalidCron", `The cron job '${name}' is invalid: ${reason}`, { position });
    if (!/^[ -~]*$/.test(name)) throw refuse("use ASCII letters that are not control characters");
    const schedule = normalize(raw.schedule, refuse);
    return { name, function: String(raw.name), args: raw.args ?? [], schedule };
  });
}

function normalize(raw: any, refuse: (reason: string) => Error): Schedule {
  const { type, seconds, minutes, hours, minuteUTC, hourUTC, day, dayOfWeek } = raw;
  const within = (value: unknown, low: number, high: number) =>
    Number.isInteger(value) && Number(value) >= low && Number(value) <= high;
  if (minuteUTC !== undefined && !within(minuteUTC, 0, 59))
    throw refuse("minuteUTC must be from 0 to 59");
  if (hourUTC !== undefined && !within(hourUTC, 0, 23))
    throw refuse("hourUTC must be from 0 to 23");
  const isDaily = type === "daily" || type === "weekly" || type === "monthly";
  if (isDaily && hourUTC === undefined) throw refuse("hourUTC must be from 0 to 23");
  const minute = minuteUTC === undefined ? {} : { minuteUTC };
  switch (type) {
    case "interval": {
      const total = (seconds ?? 0) + 60 * (minutes ?? 0) + 3600 * (hours ?? 0);
      const given = [seconds, minutes, hours].filter((each) => each !== undefined);
      if (given.length !== 1)
        throw refuse("exactly one of seconds, minutes and hours must be given");
      if (!within(total, 1, Number.MAX_SAFE_INTEGER))
        throw refuse("the interval must be greater than 0");
      return { type, seconds: total };
    }
    case "hourly":
      return { type, ...minute };
    case "daily":
      return { type, hourUTC, ...minute };
    case "weekly":
      if (!WEEKDAYS.includes(dayOfWeek))
        throw refuse(`dayOfWeek must be one of ${WEEKDAYS.join(", ")}`);
      return { type, dayOfWeek: String(dayOfWeek), hourUTC, ...minute };
    case "monthly":
      if (!within(day, 1, 31)) throw refuse("day must be from 1 to 31");
      return { type, day, hourUTC, ...minute };
    case "cron": {
      const cronExpr = String(raw.cron);
      const problem = cronProblem(cronExpr);
      if (problem !== null) throw refuse(`The cron spec "${cronExpr}" ${problem}`);
      return { type, cronExpr };
    }
    default:
      throw refuse(`unknown schedule ${JSON.stringify(raw)}`);
  }
}

const MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const DAYS = "SUN MON TUE WED THU FRI SAT".split(" ");
const LONGEST = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * What is wrong with a cron expression of five fields (minute, hour, day of month, month, day of
 * week; POSIX crontab, with names, steps, `?`, `L`, `W` and `#`), or null.
 */
export function cronProblem(expression: string) {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5) return `has ${fields.length} fields instead of 5`;
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  if (expand(minute, 0, 59) === null) return `has an invalid minute: ${minute}`;
  if (expand(hour, 0, 23) === null) return `has an invalid hour: ${hour}`;
  const specialDay = /^(\?|L|LW|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W)$/i.test(day);
  const days = specialDay ? [1] : expand(day, 1, 31);
  if (days === null) return `has an invalid day of the month: ${day}`;
  const months = expand(named(month, MONTHS, 1), 1, 12);
  if (months === null) return `has an invalid month: ${month}`;
  const plainWeekday = named(weekday, DAYS, 0);
  const specialWeekday = /^(\?|[0-7]?L|[0-7]#[1-5])$/i.test(plainWeekday);
  if (!specialWeekday && expand(plainWeekday, 0, 7) === null)
    return `has an invalid day of the week: ${weekday}`;
  const anyWeekday = plainWeekday === "*" || plainWeekday === "?";
  const reachable = months.some((each) => days.some((date) => date <= (LONGEST[each - 1] ?? 0)));
  return anyWeekday && !reachable ? "will never match any time" : null;
}

function named(field: string, names: string[], first: number) {
  return field.replace(/[A-Za-z]{3}/g, (word) => {
    const index = names.indexOf(word.toUpperCase());
    return index < 0 ? word : String(index + first);
  });
}

/** The numbers that a field stands for; null when it is no field. */
function expand(field: string, low: number, high: number) {
  const numbers = [];
  for (const part of field.split(",")) {
    const match = /^(?:(\*)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (match === null) return null;
    const [, star, from, to, step] = match;
    const start = star === undefined ? Number(from) : low;
    const end =
      star !== undefined || (step !== undefined && to === undefined) ? high : Number(to ?? from);
    const by = step === undefined ? 1 : Number(step);
    if (start < low || end > high || start > end || by === 0) return null;
    for (let number = start; number <= end; number += by) numbers.push(number);
  }
  return numbers;
}

/** Every cron job must schedule a mutation or an action that exists. @throws Refusal */
export function checkCronTargets(modules: Map<string, AnalyzedModule>, origins: Origins) {
  for (const cron of modules.get(MODULE)?.crons ?? []) {
    const [path = "", name = "default"] = cron.function.split(":");
    const modulePath = path.endsWith(".js") ? path : `${path}.js`;
    const target = `${modulePath}:${name}`;
    const module = modules.get(modulePath);
    const found = module?.functions.find((each) => each.name === name);
    const problem = module?.httpActions.includes(name)
      ? `an HTTP action, only actions and mutations can be scheduled: ${target}`
      : found === undefined
        ? `a function that does not exist: ${target}`
        : found.udfType === "Query"
          ? `a query function, only actions and mutations can be scheduled: ${target}`
          : null;
    if (problem === null) continue;
    const position = origins.find(MODULE, JSON.stringify(cron.name));
    throw new Refusal("InvalidModules", `The cron job '${cron.name}' schedules ${problem}`, {
      position,
    });
  }
}
