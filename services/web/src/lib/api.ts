/* The reports' HTTP routes, as services/reporting/query_api.py, api.py and page_api.py describe them. */

import type { Names } from './format';

export interface Measure {
  id: string;
  name: Names;
  words: Names;
  unit: string;
  better: string;
  counts_are_contacts: boolean;
}

export interface Catalogue {
  measures: Measure[];
}

export interface Column {
  id: string;
  name: Names;
  unit: string;
  kind: 'interval' | 'time' | 'dimension' | 'measure' | 'count';
  estimate: boolean;
}

export type Figure = number | null;
/** A value for each column, and where the contacts behind it are listed. */
export type Row = Record<string, string | number | null> & { interval_no: number; contacts: string | null };

export interface Answer {
  from: string;
  to: string;
  /** Whatever was stored by then is counted. */
  settled_until: string | null;
  columns: Column[];
  rows: Row[];
  row_count: number;
  totals: Record<string, Figure>;
  compare: { from: string; to: string; rows: Row[]; totals: Record<string, Figure> } | null;
}

export interface Named {
  id: string;
  names: Names;
}

/** What the pages need of the center document. */
export interface Center {
  tenant: string;
  names: Names;
  time_zone: string;
  languages: string[];
  queues: Named[];
  agents: Named[];
  dispositions: Named[];
}

/** A row of a list, as the server has it. */
export type Item = Record<string, unknown>;

export interface ContactPage {
  items: Item[];
  next: string | null;
}

export interface Story {
  contact: Item;
  /** What people care for, in sentences. */
  steps: (Item & { at: string; text: Names; agent_id: string; queue: string })[];
  /** Facts and legs as they were told. */
  timeline: (Item & { at: string; type: string })[];
  offers: (Item & { why_failed: Names | null })[];
}

/** An answer that is none: the status, and what the server says was wrong. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

async function ask(path: string, token: string, signal: AbortSignal | null): Promise<Response> {
  const url = new URL(path.replace(/^\//, ''), document.baseURI);
  const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store', signal });
  if (response.ok) return response;
  let detail = response.statusText;
  try {
    const problem = (await response.json()) as { detail?: unknown };
    if (typeof problem.detail === 'string') detail = problem.detail;
  } catch {
    // A proxy's page: the status says it.
  }
  throw new ApiError(response.status, detail);
}

/** The JSON of an address. Throws ApiError, and what fetch throws when there is no connection. */
export async function get<T>(path: string, token: string, signal: AbortSignal | null = null): Promise<T> {
  return (await (await ask(path, token, signal)).json()) as T;
}

/** Save what an address answers as a file, under the name that the server gives it. */
export async function download(path: string, token: string, name: string): Promise<void> {
  const response = await ask(path, token, null);
  const given = /filename="?([^";]+)"?/.exec(response.headers.get('content-disposition') ?? '');
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = given?.[1] ?? name;
  link.click();
  URL.revokeObjectURL(url);
}
