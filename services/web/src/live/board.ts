/* One frame of the live board, as services/reporting/core/live_board.py sends it: what the numbers mean is said there. */

import type { Names } from '../lib/format';

export type Level = 'none' | 'ok' | 'warn' | 'crit';

export interface Queue {
  id: string;
  names: Names;
  service_level: Level;
  service_level_pct: number | null;
  answered_in_time: number;
  answered: number;
  abandoned: number;
  target_pct: number;
  target_s: number;
  waiting: number;
  waiting_level: Level;
  longest_since_us: number;
  longest_level: Level;
  talking: number;
  idle: number;
  idle_level: Level;
  wrap_up: number;
  abandoned_pct: number | null;
  abandoned_level: Level;
  trend: number[];
}

export const STATES = [
  'ready',
  'talking',
  'outbound',
  'own_call',
  'handling',
  'ringing',
  'wrap_up',
  'break',
  'unreachable',
] as const;
export type State = (typeof STATES)[number];

export interface Agent {
  id: string;
  names: Names;
  state: State;
  since_us: number;
  reason: string;
  reason_names: Names;
  level: Level;
}

export interface Alarm {
  code: string;
  level: 'warn' | 'crit';
  subject: string;
  names: Names;
  since_us: number;
  value: number;
  bound: number;
}

export interface Quarter {
  start_us: number;
  answered: number;
  abandoned: number;
}

export interface Board {
  tenant: string;
  names: Names;
  languages: string[];
  time_zone: string;
  now_us: number;
  window_s: number;
  tiles: {
    service_level: {
      level: Level;
      value_pct: number | null;
      before_pct: number | null;
      answered_in_time: number;
      answered: number;
      abandoned: number;
      target_pct: number;
      target_s: number | null;
    };
    waiting: { level: Level; value: number; before: number; in_menu: number; worst_queue: string; limit: number };
    longest: { level: Level; since_us: number; queue: string; limit_s: number };
    idle: { level: Level; value: number; logged_in: number };
    abandoned: {
      level: Level;
      value_pct: number | null;
      abandoned: number;
      offered: number;
      left_menu: number;
      limit_pct: number;
    };
    answer: { level: Level; value_ms: number | null; answered: number; target_s: number };
  };
  queues: Queue[];
  agents: Agent[];
  agent_states: { state: State; count: number }[];
  alarms: Alarm[];
  alarms_total: number;
  quarters: Quarter[];
  books: {
    offered: number;
    answered: number;
    abandoned_queue: number;
    abandoned_menu: number;
    other: number;
    open: number;
  };
}

/** How many agents are in a state. */
export function countOf(board: Board, state: State): number {
  return board.agent_states.find((s) => s.state === state)?.count ?? 0;
}

/** Seconds from `since_us` to `now_us`. */
export function secondsSince(since_us: number, now_us: number): number {
  return (now_us - since_us) / 1e6;
}

/** With few queues the chart stands below them, and there is room for more names beside them. */
export function isFew(board: Board): boolean {
  return board.queues.length <= 5;
}
