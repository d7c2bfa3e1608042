/* Days and months in words, in the language of the page and the calendar of the report. */

import { noonOf, type Calendar, type Days } from './calendar';
import type { Language } from './texts';

type Part = 'weekday' | 'day' | 'month' | 'year';

/** Written by parts, because the locales' own order of a Persian date (year first) is not the one people write. */
export class DateWords {
  private readonly locale: string;
  private readonly formats = new Map<string, Intl.DateTimeFormat>();

  constructor(
    readonly language: Language,
    readonly calendar: Calendar,
  ) {
    const calendars: Record<Calendar, string> = { gregorian: 'gregory', jalali: 'persian' };
    const digits = language === 'fa' ? 'arabext' : 'latn';
    this.locale = `${language === 'fa' ? 'fa-IR' : 'en-GB'}-u-ca-${calendars[calendar]}-nu-${digits}`;
  }

  /** Saturday 21 November 2026. */
  long(day: string): string {
    return this.write(day, 'long', ['weekday', 'day', 'month', 'year']);
  }

  /** Sat 21 Nov. */
  short(day: string): string {
    return this.write(day, 'short', ['weekday', 'day', 'month']);
  }

  /** November 2026. */
  month(day: string): string {
    return this.write(day, 'long', ['month', 'year']);
  }

  /** The number in the month. */
  number(day: string): string {
    return this.write(day, 'long', ['day']);
  }

  /** The weekday's name, whole or as the column of a calendar has it. */
  weekday(day: string, width: 'long' | 'narrow' | 'short' = 'short'): string {
    return this.write(day, width, ['weekday']);
  }

  /** 21 November 2026, or from when to when. */
  span(days: Days): string {
    if (days.first === days.last) return this.long(days.first);
    const [first, last] = [days.first, days.last].map((day) => this.write(day, 'long', ['day', 'month', 'year']));
    return `${first} – ${last}`;
  }

  private write(day: string, width: 'long' | 'short' | 'narrow', wanted: Part[]): string {
    let format = this.formats.get(width);
    if (format === undefined) {
      // 'long' months in short dates of Persian: its months have no short form.
      const month = width === 'short' && this.calendar === 'gregorian' && this.language === 'en' ? 'short' : 'long';
      format = new Intl.DateTimeFormat(this.locale, {
        timeZone: 'UTC',
        weekday: width,
        day: 'numeric',
        month,
        year: 'numeric',
      });
      this.formats.set(width, format);
    }
    const parts = Object.fromEntries(format.formatToParts(noonOf(day)).map((p) => [p.type, p.value]));
    return wanted.map((name) => parts[name]).join(' ');
  }
}
