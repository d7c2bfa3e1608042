/* What the server's rows of contacts, offers and facts say, read without trusting their form. Pure. */

import type { Item } from '../lib/api';

export function text(item: Item, name: string): string {
  const value = item[name];
  return typeof value === 'string' ? value : '';
}

/** Milliseconds as seconds; null where there are none. */
export function seconds(item: Item, name: string): number | null {
  const value = item[name];
  return typeof value === 'number' ? value / 1000 : null;
}

/** Microseconds since the epoch of a time; ClickHouse's times without a zone are UTC. Null where there is none. */
export function moment(value: unknown): number | null {
  if (typeof value !== 'string' || value === '') return null;
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/.test(value) ? value : `${value.replace(' ', 'T')}Z`;
  const ms = Date.parse(zoned);
  return Number.isNaN(ms) ? null : ms * 1000;
}

/** The name of a kind of fact without its package: `peyvand.routing.v1.OfferMade` is OfferMade. */
export function factName(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1);
}

/** Words of a name that no catalogue has: `OfferMade` and `offer_made` are `offer made`. */
export function spelled(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase();
}

/** A sentence with names for the ids in it. */
export function named(sentence: string, names: ReadonlyMap<string, string>): string {
  return sentence
    .split(/([\w-]+)/)
    .map((word) => names.get(word) ?? word)
    .join('');
}
