/* Which figures a report has, and how one of them is written. Pure. */

import { addDays } from '../lib/calendar';
import type { Format } from '../lib/format';
import type { Answer, Column, Figure, Row } from '../lib/api';
import type { Wish } from './wish';

const QUEUE_MEASURES = [
  'offered', 'answered', 'abandoned', 'abandoned_short', 'service_level', 'abandon_rate', 'asa', 'longest_wait', 'handled', 'aht',
];
const AGENT_MEASURES = [
  'handled', 'aht', 'att', 'acw', 'occupancy', 'logged_in_time', 'available_time', 'break_time', 'offers', 'offers_missed',
  'non_response', 'transfer_rate', 'csat',
];
/** The figures on top of the page. */
export const HEADLINES: Record<'queues' | 'agents', string[]> = {
  queues: ['service_level', 'offered', 'answered', 'abandoned', 'asa', 'aht'],
  agents: ['handled', 'aht', 'occupancy', 'logged_in_time', 'offers_missed', 'csat'],
};

/** Whether a report is about agents, not about queues. */
export function aboutAgents(wish: Wish): boolean {
  return wish.view === 'agents' || wish.agent !== '';
}

/** The address of a report's figures. */
export function queryOf(wish: Wish, timeZone: string): string {
  const query = new URLSearchParams({
    measures: (aboutAgents(wish) ? AGENT_MEASURES : QUEUE_MEASURES).join(','),
    from: wish.days.first,
    to: addDays(wish.days.last, 1),
    tz: timeZone,
    calendar: wish.calendar,
    week_start: wish.weekStart,
    limit: '1000',
  });
  if (wish.view === 'queues') query.set('by', 'queue');
  else if (wish.view === 'agents') query.set('by', 'agent');
  else query.set('interval', wish.view === 'day' ? 'hour' : 'day');
  if (wish.queue !== '') query.set('filter.queue', wish.queue);
  if (wish.agent !== '') query.set('filter.agent', wish.agent);
  if (wish.view === 'queues' || wish.view === 'agents') query.set('order', wish.order);
  if (wish.compare !== '') query.set('compare', wish.compare);
  return `v1/reports/query?${query}`;
}

/** The rows without the first and last ones in which there is nothing, now and in the earlier span. */
export function trimmed(answer: Answer): Row[] {
  const columns = figureColumns(answer, true);
  const full = (row: Row) => columns.some((c) => row[c.id] || counterpart(answer, row)?.[c.id]);
  const first = answer.rows.findIndex(full);
  return first < 0 ? [] : answer.rows.slice(first, answer.rows.findLastIndex(full) + 1);
}

/** What each row is: a dimension's value or an interval. */
export function keyOf(row: Row): string {
  return String(row.queue ?? row.agent ?? row.interval_no);
}

/** The row of the earlier span that belongs to this one. */
export function counterpart(answer: Answer, row: Row): Row | undefined {
  return answer.compare?.rows.find((then) => keyOf(then) === keyOf(row));
}

/** The columns with figures: measures, and the counts they were made from when they are wanted. */
export function figureColumns(answer: Answer, counts: boolean): Column[] {
  return answer.columns.filter((c) => c.kind === 'measure' || (counts && c.kind === 'count'));
}

/** One figure in its unit; a dash where there is nothing to divide by. */
export function written(f: Format, column: Pick<Column, 'id' | 'unit'>, value: Figure | undefined): string {
  if (value === null || value === undefined) return '–';
  switch (column.unit) {
    case 'seconds':
      return f.duration(value);
    case 'share':
      // A service level is cut, not rounded: 79.96 % is not the target of 80 %.
      return f.percent(column.id.startsWith('service_level') ? Math.floor(value * 1000) / 10 : value * 100, 1);
    case 'points':
    case 'mos':
    case 'milliseconds':
    case 'money':
      return f.decimal(value);
    default:
      return f.number(value);
  }
}

/** How a figure went: up or down as far as the page shows it, and whether that is for the better or the worse. */
export function moved(
  f: Format,
  column: Column,
  better: string,
  now: Figure | undefined,
  then: Figure | undefined,
): { way: 'up' | 'down' | ''; judgement: 'good' | 'bad' | '' } {
  if (typeof now !== 'number' || typeof then !== 'number' || written(f, column, now) === written(f, column, then)) {
    return { way: '', judgement: '' };
  }
  const way = now > then ? 'up' : 'down';
  return { way, judgement: better === '' ? '' : better === way ? 'good' : 'bad' };
}

/** Where the contacts behind a figure are listed: the address of its row, cut down to what the measure counts. */
export function contactsOf(row: Row, measure: string): string {
  const [, query = ''] = (row.contacts ?? '').split('?');
  const wanted = new URLSearchParams(query);
  wanted.delete('source'); // the count has its own
  wanted.set('count', measure);
  return wanted.toString();
}
