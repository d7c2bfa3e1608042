/* What test_page_calendar.py asks of the pages' pure parts: a line of JSON in, [function, ...arguments]; a line out. */

import { createInterface } from 'node:readline';

import * as calendar from '../../../services/web/src/lib/calendar';

const functions = calendar as unknown as Record<string, (...given: unknown[]) => unknown>;
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line) as [string, ...unknown[]];
  const asked = functions[name];
  if (asked === undefined) throw new Error(`no function ${name}`);
  console.log(JSON.stringify(asked(...given)));
}
