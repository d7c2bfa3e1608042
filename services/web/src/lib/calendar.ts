/* Days, weeks and months of two calendars, by Intl alone. Pure.

   A day is text, `2026-11-21`, in the Gregorian calendar whatever calendar it is shown in: so it stands in addresses. What a
   day is called and where a Jalali month begins comes from Intl; nothing here knows the length of a month. */

export type Calendar = 'gregorian' | 'jalali';
export type WeekStart = 'sat' | 'sun' | 'mon';
export type Span = 'day' | 'week' | 'month' | 'year';
/** First and last day, both included. */
export interface Days {
  first: string;
  last: string;
}

const DAY_MS = 86_400_000;
const WEEK_STARTS: Record<WeekStart, number> = { sun: 0, mon: 1, sat: 6 };
const DAY = /^\d{4}-\d{2}-\d{2}$/;

const NUMBERS: Record<Calendar, Intl.DateTimeFormat> = {
  gregorian: numbersOf('gregory'),
  jalali: numbersOf('persian'),
};
const localDays = new Map<string, Intl.DateTimeFormat>();

function numbersOf(calendar: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(`en-u-ca-${calendar}-nu-latn`, {
    timeZone: 'UTC',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
  });
}

/** Noon of a day in UTC, the moment by which Intl names it. */
export function noonOf(day: string): Date {
  return new Date(`${day}T12:00:00Z`);
}

/** The day of a text, or null when it is none. */
export function readDay(text: string | undefined): string | null {
  if (text === undefined || !DAY.test(text)) return null;
  const noon = noonOf(text);
  return Number.isNaN(noon.getTime()) || noon.toISOString().slice(0, 10) !== text ? null : text;
}

export function addDays(day: string, count: number): string {
  return new Date(noonOf(day).getTime() + count * DAY_MS).toISOString().slice(0, 10);
}

/** How many days the second is after the first. */
export function daysBetween(first: string, second: string): number {
  return Math.round((noonOf(second).getTime() - noonOf(first).getTime()) / DAY_MS);
}

/** Year, month and day of the month, from 1. */
export function numbers(day: string, calendar: Calendar): { year: number; month: number; day: number } {
  const found: Record<string, number> = {};
  for (const part of NUMBERS[calendar].formatToParts(noonOf(day))) {
    found[part.type] = Number.parseInt(part.value, 10);
  }
  return { year: found.year ?? 0, month: found.month ?? 0, day: found.day ?? 0 };
}

function firstOfMonth(day: string, calendar: Calendar): string {
  return addDays(day, 1 - numbers(day, calendar).day);
}

/** The same day `count` months later, or the last one of that month. */
export function addMonths(day: string, count: number, calendar: Calendar): string {
  const wanted = numbers(day, calendar).day;
  let first = firstOfMonth(day, calendar);
  for (let i = 0; i < Math.abs(count); i += 1) {
    first = firstOfMonth(addDays(first, count > 0 ? 32 : -1), calendar);
  }
  const last = daysOf('month', first, calendar, 'mon').last;
  return [addDays(first, wanted - 1), last].sort()[0] ?? first;
}

/** The first and last day of the week, month or year in which a day lies. */
export function daysOf(span: Span, day: string, calendar: Calendar, weekStart: WeekStart): Days {
  if (span === 'day') return { first: day, last: day };
  if (span === 'week') {
    const first = addDays(day, -((noonOf(day).getUTCDay() - WEEK_STARTS[weekStart] + 7) % 7));
    return { first, last: addDays(first, 6) };
  }
  const month = firstOfMonth(day, calendar);
  if (span === 'month') return { first: month, last: addDays(firstOfMonth(addDays(month, 32), calendar), -1) };
  let first = month;
  while (numbers(first, calendar).month !== 1) first = firstOfMonth(addDays(first, -1), calendar);
  let next = firstOfMonth(addDays(first, 32), calendar);
  while (numbers(next, calendar).month !== 1) next = firstOfMonth(addDays(next, 32), calendar);
  return { first, last: addDays(next, -1) };
}

/** The same span before or after this one: the previous month, the next week. */
export function shift(span: Span, day: string, by: 1 | -1, calendar: Calendar, weekStart: WeekStart): string {
  const { first, last } = daysOf(span, day, calendar, weekStart);
  return daysOf(span, by > 0 ? addDays(last, 1) : addDays(first, -1), calendar, weekStart).first;
}

/** Weeks of a month's page: the days of the month and those that fill its first and last week. */
export function weeksOf(day: string, calendar: Calendar, weekStart: WeekStart): string[][] {
  const { first, last } = daysOf('month', day, calendar, weekStart);
  const weeks: string[][] = [];
  for (let at = daysOf('week', first, calendar, weekStart).first; at <= last; at = addDays(at, 7)) {
    weeks.push([0, 1, 2, 3, 4, 5, 6].map((n) => addDays(at, n)));
  }
  return weeks;
}

/** The day that the clocks of a time zone show at a moment (milliseconds since the epoch). */
export function localDay(at_ms: number, timeZone: string): string {
  let format = localDays.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-CA-u-ca-gregory-nu-latn', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
    localDays.set(timeZone, format);
  }
  const part = Object.fromEntries(format.formatToParts(new Date(at_ms)).map((p) => [p.type, p.value]));
  return `${part.year}-${part.month}-${part.day}`;
}
