/* What more than one part of the board says. */

import type { Format } from '../lib/format';
import { secondsSince, type Alarm } from './board';

/** A service level in whole percent, cut and not rounded: 79.6 % is not the target of 80 %. `value` from 0 to 100. */
export function reached(f: Format, value: number): string {
  return f.percent(Math.floor(value));
}

/** One alarm in words. */
export function alarmText(f: Format, alarm: Alarm, now_us: number): string {
  const percent = alarm.code === 'service_level';
  return f.lookUp(`alarm.${alarm.code}`, {
    name: f.name(alarm.names, alarm.subject),
    time: f.duration(secondsSince(alarm.since_us, now_us)),
    value: percent ? reached(f, alarm.value) : f.number(alarm.value),
    bound: percent ? f.percent(alarm.bound) : f.duration(alarm.bound),
  });
}
