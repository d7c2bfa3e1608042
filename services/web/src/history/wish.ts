/* What a history page shall show, from its address and back. Pure. */

import { daysOf, readDay, type Calendar, type Days, type Span, type WeekStart } from '../lib/calendar';
import type { Parameters } from '../lib/address';
import type { Language } from '../lib/texts';

export const VIEWS = ['day', 'week', 'month', 'queues', 'agents'] as const;
export type View = (typeof VIEWS)[number];
export type Compare = '' | 'previous' | 'year';

const SPANS: Span[] = ['day', 'week', 'month', 'year'];

/** Everything that a report is made from. */
export interface Wish {
  view: View;
  /** Of the views of queues and agents; the others have their own. */
  span: Span;
  day: string;
  days: Days;
  calendar: Calendar;
  weekStart: WeekStart;
  queue: string;
  agent: string;
  compare: Compare;
  /** Whether the raw counts have columns, too. */
  counts: boolean;
  /** The column by which queues or agents are sorted, `-` before it for the greatest first. */
  order: string;
}

/** What an address asks for; what it does not say, or says wrongly, is as most people want it. `today` is a day. */
export function readWish(parameters: Parameters, language: Language, today: string): Wish {
  const one = <T extends string>(value: string | undefined, of: readonly T[], otherwise: T): T =>
    of.find((x) => x === value) ?? otherwise;
  const calendar = one(parameters.calendar, ['gregorian', 'jalali'], language === 'fa' ? 'jalali' : 'gregorian');
  const weekStart = one(parameters.week_start, ['sat', 'sun', 'mon'], calendar === 'jalali' ? 'sat' : 'mon');
  const view = one(parameters.view, VIEWS, 'day');
  const span = view === 'queues' || view === 'agents' ? one(parameters.span, SPANS, 'day') : view;
  const day = readDay(parameters.day) ?? today;
  return {
    view,
    span,
    day,
    days: daysOf(span, day, calendar, weekStart),
    calendar,
    weekStart,
    queue: view === 'agents' ? '' : (parameters.queue ?? ''),
    agent: view === 'queues' ? '' : (parameters.agent ?? ''),
    compare: one(parameters.compare, ['', 'previous', 'year'], ''),
    counts: parameters.counts === 'all',
    order: parameters.order ?? (view === 'queues' ? '-offered' : view === 'agents' ? '-handled' : ''),
  };
}
