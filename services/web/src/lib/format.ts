/* Words, numbers, times and dates in the language of the board. */

import { CATALOGUES, type Key, type Language } from './texts';

export type Names = Record<string, string>;

const LOCALES: Record<Language, string> = { en: 'en-GB', fa: 'fa-IR-u-ca-persian-nu-arabext' };
const OPEN = '\u2068'; // first strong isolate: a Latin name in a Persian sentence keeps its own direction ...
const CLOSE = '\u2069'; // ... and so does a Persian name in an English one

/** Named parts of a date. */
function parts(format: Intl.DateTimeFormat, date: Date): Record<string, string> {
  return Object.fromEntries(format.formatToParts(date).map((p) => [p.type, p.value]));
}

export class Format {
  readonly locale: string;
  private readonly catalogue: Record<string, string>;
  private readonly whole: Intl.NumberFormat;
  private readonly twoDigits: Intl.NumberFormat;
  private readonly decimals: Intl.NumberFormat;
  private readonly percents: Record<0 | 1, Intl.NumberFormat>;
  private readonly hourMinute: Intl.DateTimeFormat;
  private readonly hourMinuteSecond: Intl.DateTimeFormat;
  private readonly day: Intl.DateTimeFormat;
  private readonly persianDay: Intl.DateTimeFormat;

  /** `timeZone` is an IANA name. */
  constructor(
    readonly language: Language,
    readonly timeZone: string,
  ) {
    this.catalogue = CATALOGUES[language];
    this.locale = LOCALES[language];
    this.whole = new Intl.NumberFormat(this.locale, { maximumFractionDigits: 0 });
    this.decimals = new Intl.NumberFormat(this.locale, { maximumFractionDigits: 2 });
    this.twoDigits = new Intl.NumberFormat(this.locale, { minimumIntegerDigits: 2, useGrouping: false });
    const percent = (digits: number) => new Intl.NumberFormat(this.locale, { style: 'percent', maximumFractionDigits: digits });
    this.percents = { 0: percent(0), 1: percent(1) };
    const time: Intl.DateTimeFormatOptions = { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    this.hourMinute = new Intl.DateTimeFormat(this.locale, time);
    this.hourMinuteSecond = new Intl.DateTimeFormat(this.locale, { ...time, second: '2-digit' });
    const day: Intl.DateTimeFormatOptions = { timeZone, weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' };
    this.day = new Intl.DateTimeFormat(this.locale, day);
    this.persianDay = new Intl.DateTimeFormat('en-u-ca-persian', { timeZone, day: 'numeric', month: 'long' });
  }

  /** The text of a key with its placeholders filled. */
  text(key: Key, values: Record<string, string> = {}): string {
    return this.lookUp(key, values);
  }

  /** The text of a key that is put together from data. Throws for one that is in no catalogue. */
  lookUp(key: string, values: Record<string, string> = {}): string {
    const text = this.catalogue[key];
    if (text === undefined) throw new Error(`no text for ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name: string) => OPEN + (values[name] ?? '') + CLOSE);
  }

  /** Whether there is a text for the key. */
  has(key: string): boolean {
    return key in this.catalogue;
  }

  /** The name in the page's language, else in any, else the id. */
  name(names: Names | undefined, id: string): string {
    return names?.[this.language] ?? Object.values(names ?? {})[0] ?? id;
  }

  number(value: number): string {
    return this.whole.format(value);
  }

  /** At most two decimals. */
  decimal(value: number): string {
    return this.decimals.format(value);
  }

  /** `value` from 0 to 100. */
  percent(value: number, digits: 0 | 1 = 0): string {
    return this.percents[digits].format(value / 100);
  }

  /** 4:07 or 1:02:09. */
  duration(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds));
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const head = h ? [this.number(h), this.twoDigits.format(m)] : [this.number(m)];
    return [...head, this.twoDigits.format(s)].join(':');
  }

  /** A short time: 7 s below a minute, else as a duration. */
  age(seconds: number): string {
    if (seconds >= 60) return this.duration(seconds);
    return this.text('unit.seconds', { count: this.number(Math.floor(seconds)) });
  }

  /** 14:30; `us` since the epoch. */
  quarter(us: number): string {
    return this.hourMinute.format(new Date(us / 1000));
  }

  /** 14:30:05; `us` since the epoch. */
  clock(us: number): string {
    return this.hourMinuteSecond.format(new Date(us / 1000));
  }

  /** The day in words (`us` since the epoch); on an English board of a center that also speaks Persian, with the Persian day beside it. */
  date(us: number, withPersian: boolean): string {
    const date = new Date(us / 1000);
    if (this.language === 'fa') {
      // The locale's own order of a full Persian date (year first) is not the one people write.
      const { weekday, day, month, year } = parts(this.day, date);
      return `${weekday} ${day} ${month} ${year}`;
    }
    if (!withPersian) return this.day.format(date);
    const { day, month } = parts(this.persianDay, date);
    return `${this.day.format(date)} · ${day} ${month}`;
  }
}
