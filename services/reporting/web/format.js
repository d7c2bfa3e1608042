/* Words, numbers, times and dates in the language of the board. */

/** @typedef {'en' | 'fa'} Language */
/** @typedef {Record<string, string>} Catalogue */

const LOCALES = { en: 'en-GB', fa: 'fa-IR-u-ca-persian-nu-arabext' };
const OPEN = '\u2068'; // first strong isolate: a Latin name in a Persian sentence keeps its own direction ...
const CLOSE = '\u2069'; // ... and so does a Persian name in an English one

export class Format {
  /**
   * @param {Language} language
   * @param {Catalogue} catalogue
   * @param {string} timeZone IANA name
   */
  constructor(language, catalogue, timeZone) {
    this.language = language;
    this.timeZone = timeZone;
    this.catalogue = catalogue;
    this.locale = LOCALES[language];
    this.whole = new Intl.NumberFormat(this.locale, { maximumFractionDigits: 0 });
    this.twoDigits = new Intl.NumberFormat(this.locale, { minimumIntegerDigits: 2, useGrouping: false });
    this.percents = [0, 1].map(
      (digits) => new Intl.NumberFormat(this.locale, { style: 'percent', maximumFractionDigits: digits }),
    );
    /** @type {Intl.DateTimeFormatOptions} */
    const time = { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    this.hourMinute = new Intl.DateTimeFormat(this.locale, time);
    this.hourMinuteSecond = new Intl.DateTimeFormat(this.locale, { ...time, second: '2-digit' });
    /** @type {Intl.DateTimeFormatOptions} */
    const day = { timeZone, weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' };
    this.day = new Intl.DateTimeFormat(this.locale, day);
    this.persianDay = new Intl.DateTimeFormat('en-u-ca-persian', { timeZone, day: 'numeric', month: 'long' });
  }

  /**
   * The text of a key with its placeholders filled.
   * @param {string} key
   * @param {Record<string, string>} [values]
   */
  text(key, values = {}) {
    const text = this.catalogue[key];
    if (text === undefined) throw new Error(`no text for ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name) => OPEN + values[name] + CLOSE);
  }

  /** Whether there is a text for the key. @param {string} key */
  has(key) {
    return key in this.catalogue;
  }

  /** The name in the board's language, else in any, else the id. @param {Record<string, string>} names @param {string} id */
  name(names, id) {
    return names[this.language] ?? Object.values(names)[0] ?? id;
  }

  /** @param {number} value */
  number(value) {
    return this.whole.format(value);
  }

  /** @param {number} value 0 to 100 @param {0 | 1} [digits] */
  percent(value, digits = 0) {
    return this.percents[digits].format(value / 100);
  }

  /** 4:07 or 1:02:09. @param {number} seconds */
  duration(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const head = h ? [this.number(h), this.twoDigits.format(m)] : [this.number(m)];
    return [...head, this.twoDigits.format(s)].join(':');
  }

  /** A short time: 7 s below a minute, else as a duration. @param {number} seconds */
  age(seconds) {
    if (seconds >= 60) return this.duration(seconds);
    return this.text('unit.seconds', { count: this.number(Math.floor(seconds)) });
  }

  /** @param {number} us since the epoch */
  quarter(us) {
    return this.hourMinute.format(new Date(us / 1000));
  }

  /** @param {number} us since the epoch */
  clock(us) {
    return this.hourMinuteSecond.format(new Date(us / 1000));
  }

  /**
   * The day in words; on an English board of a center that also speaks Persian, with the Persian day beside it.
   * @param {number} us since the epoch
   * @param {boolean} withPersian
   */
  date(us, withPersian) {
    const date = new Date(us / 1000);
    if (this.language === 'fa') {
      // The locale's own order of a full Persian date (year first) is not the one people write.
      const parts = Object.fromEntries(this.day.formatToParts(date).map((p) => [p.type, p.value]));
      return `${parts.weekday} ${parts.day} ${parts.month} ${parts.year}`;
    }
    if (!withPersian) return this.day.format(date);
    const parts = Object.fromEntries(this.persianDay.formatToParts(date).map((p) => [p.type, p.value]));
    return `${this.day.format(date)} · ${parts.day} ${parts.month}`;
  }
}
