/** When a cron job runs next, in UTC. */

import type { Schedule } from "../protocol.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A valid expression matches within four years; leap days across a century's end take eight. */
const SEARCHED_DAYS = 8 * 366;
const MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split(" ");

/**
 * The first time after `after`, in milliseconds; null when there is none.
 * @param after milliseconds
 */
export function nextTime(schedule: Schedule, after: number): number | null {
  switch (schedule.type) {
    case "interval":
      return after + schedule.seconds * 1000;
    case "hourly":
      return search(after, { minutes: [schedule.minuteUTC ?? 0], hours: null, isDay: () => true });
    case "daily":
      return search(after, {
        minutes: [schedule.minuteUTC ?? 0],
        hours: [schedule.hourUTC],
        isDay: () => true,
      });
    case "weekly": {
      const weekday = WEEKDAYS.indexOf(schedule.dayOfWeek.slice(0, 3).toUpperCase());
      const isDay = (date: Date) => date.getUTCDay() === weekday;
      return search(after, {
        minutes: [schedule.minuteUTC ?? 0],
        hours: [schedule.hourUTC],
        isDay,
      });
    }
    case "monthly": {
      const isDay = (date: Date) => date.getUTCDate() === schedule.day;
      return search(after, {
        minutes: [schedule.minuteUTC ?? 0],
        hours: [schedule.hourUTC],
        isDay,
      });
    }
    case "cron":
      return search(after, parse(schedule.cronExpr));
  }
}

/** null: every one */
export type Times = {
  minutes: number[] | null;
  hours: number[] | null;
  isDay: (date: Date) => boolean;
};

function search(after: number, { minutes, hours, isDay }: Times): number | null {
  const first = Math.floor(after / MINUTE) * MINUTE + MINUTE;
  const start = Math.floor(first / DAY) * DAY;
  for (let day = 0; day < SEARCHED_DAYS; day++) {
    const midnight = start + day * DAY;
    if (!isDay(new Date(midnight))) continue;
    for (const hour of hours ?? upTo(23)) {
      for (const minute of minutes ?? upTo(59)) {
        const time = midnight + hour * HOUR + minute * MINUTE;
        if (time >= first) return time;
      }
    }
  }
  return null;
}

function upTo(last: number) {
  return Array.from({ length: last + 1 }, (_, i) => i);
}

/** An expression that was checked at push (crons.ts). */
function parse(expression: string): Times {
  const [minute = "*", hour = "*", day = "*", month = "*", weekday = "*"] = expression
    .trim()
    .toUpperCase()
    .split(/\s+/);
  const months = expand(named(month, MONTHS, 1), 1, 12);
  const onDate = dayOfMonth(day);
  const onWeekday = dayOfWeek(named(weekday, WEEKDAYS, 0));
  return {
    minutes: expand(minute, 0, 59),
    hours: expand(hour, 0, 23),
    isDay: (date) => {
      if (!months.includes(date.getUTCMonth() + 1)) return false;
      // POSIX: where both are restricted, either will do.
      if (onDate !== null && onWeekday !== null) return onDate(date) || onWeekday(date);
      return (onDate ?? onWeekday)?.(date) ?? true;
    },
  };
}

/** @returns null: any */
function dayOfMonth(field: string): ((date: Date) => boolean) | null {
  if (field === "*" || field === "?") return null;
  const last = (date: Date) =>
    new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  const before = /^L(?:-(\d+))?$/.exec(field);
  if (before !== null) return (date) => date.getUTCDate() === last(date) - Number(before[1] ?? 0);
  const nearest = /^(L|\d+)W$/.exec(field);
  if (nearest === null) {
    const days = expand(field, 1, 31);
    return (date) => days.includes(date.getUTCDate());
  }
  return (date) => {
    const wanted = nearest[1] === "L" ? last(date) : Math.min(Number(nearest[1]), last(date));
    const weekday = new Date(
      Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), wanted),
    ).getUTCDay();
    let shift = 0;
    if (weekday === 6) shift = wanted === 1 ? 2 : -1;
    if (weekday === 0) shift = wanted === last(date) ? -2 : 1;
    return date.getUTCDate() === wanted + shift;
  };
}

/** @returns null: any */
function dayOfWeek(field: string): ((date: Date) => boolean) | null {
  if (field === "*" || field === "?") return null;
  const nth = /^([0-7])#([1-5])$/.exec(field);
  if (nth !== null) {
    return (date) =>
      date.getUTCDay() === Number(nth[1]) % 7 &&
      Math.ceil(date.getUTCDate() / 7) === Number(nth[2]);
  }
  const last = /^([0-7])?L$/.exec(field);
  if (last !== null) {
    const weekday = Number(last[1] ?? 6) % 7;
    return (date) =>
      date.getUTCDay() === weekday &&
      new Date(date.getTime() + 7 * DAY).getUTCMonth() !== date.getUTCMonth();
  }
  const days = expand(field, 0, 7).map((each) => each % 7);
  return (date) => days.includes(date.getUTCDay());
}

function named(field: string, names: string[], first: number) {
  return field.replace(/[A-Z]{3}/g, (word) =>
    names.includes(word) ? String(names.indexOf(word) + first) : word,
  );
}

function expand(field: string, low: number, high: number) {
  const numbers: Set<number> = new Set();
  for (const part of field.split(",")) {
    const [, star, from, to, step] = /^(?:(\*)|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(part) ?? [];
    const start = star === undefined ? Number(from) : low;
    const end =
      star !== undefined || (step !== undefined && to === undefined) ? high : Number(to ?? from);
    for (let number = start; number <= end; number += Number(step ?? 1)) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}
