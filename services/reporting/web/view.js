/* What is on the board: from one frame to elements. No state, no clock: `now` is the server's time in microseconds. */

import { h } from './dom.js';
import { icon } from './icons.js';

/** @typedef {import('./format.js').Format} Format */
/** @typedef {'none' | 'ok' | 'warn' | 'crit'} Level */

// With few queues the chart stands below them, and there is room for more names beside them.
const FEW_QUEUES = 5;
const PEOPLE_ON_WALL = { few: 12, many: 6 };
const ALARMS_ON_WALL = 4;
const WAITING_BACK_MINUTES = 15;
const STATES = ['ready', 'talking', 'outbound', 'own_call', 'handling', 'ringing', 'wrap_up', 'break', 'unreachable'];
const ON_THE_PHONE = ['talking', 'outbound', 'own_call'];

/** Words for screen readers only. @param {...(Node | string | null)} more */
const sr = (...more) => h('span', { class: 'hidden' }, ...more);

/** @param {any} board */
const isFew = (board) => board.queues.length <= FEW_QUEUES;

/** A service level in whole percent, cut and not rounded: 79.6 % is not the target of 80 %. @param {Format} f @param {number} value */
const reached = (f, value) => f.percent(Math.floor(value));

/** Seconds from `since` to `now`. @param {number} since @param {number} now */
const seconds = (since, now) => (now - since) / 1e6;

/** The word of a level with its icon. @param {Format} f @param {Level} level */
function badge(f, level) {
  if (level === 'none') return null;
  const word = f.text(`level.${level}`);
  if (level === 'ok') return h('span', { class: 'good' }, icon('ok'), sr(word));
  return h('span', { class: `pill lv-${level}` }, icon(level), word);
}

/**
 * @param {Format} f
 * @param {{ key: string, level: Level, value: string, small?: string, first: string, second?: string, trend?: Element | null }} tile
 */
function tile(f, { key, level, value, small = '', first, second = '', trend = null }) {
  return h(
    'section',
    { class: `tile lv-${level}`, 'data-tile': key, 'aria-labelledby': `tile-${key}` },
    h('div', { class: 'tile-head' }, h('h2', { id: `tile-${key}` }, f.text(`tile.${key}`)), badge(f, level)),
    h('p', { class: 'value' }, value, small ? h('small', {}, ` ${small}`) : null),
    h('div', { class: 'foot' }, h('p', {}, first), h('p', {}, second, trend)),
  );
}

/** An arrow with a number; the words are for those who cannot see it. @param {Format} f @param {number} change @param {string} by @param {number} minutes */
function trend(f, change, by, minutes) {
  if (change === 0) return null;
  const values = { by, minutes: f.number(minutes) };
  const words = f.text(change > 0 ? 'tile.rose' : 'tile.fell', values);
  return h(
    'span',
    { class: 'trend', title: words },
    icon(change > 0 ? 'up' : 'down'),
    h('span', { 'aria-hidden': 'true' }, by),
    sr(words),
  );
}

/** @param {Format} f @param {any} board @param {number} now */
function tiles(f, board, now) {
  const t = board.tiles;
  const queueName = (/** @type {string} */ id) => {
    const row = board.queues.find((/** @type {any} */ q) => q.id === id);
    return f.name(row?.names ?? {}, id);
  };
  const none = '–';
  const sl = t.service_level;
  const slChange = sl.value_pct === null || sl.before_pct === null ? 0 : Math.round(sl.value_pct - sl.before_pct);
  const target = f.percent(sl.target_pct);
  const window = board.window_s / 60;
  const waitChange = t.waiting.value - t.waiting.before;
  const count = (/** @type {string} */ state) =>
    board.agent_states.find((/** @type {any} */ s) => s.state === state)?.count ?? 0;
  const onThePhone = ON_THE_PHONE.reduce((n, state) => n + count(state), 0);
  return h(
    'div',
    { class: 'tiles' },
    tile(f, {
      key: 'service_level',
      level: sl.level,
      value: sl.value_pct === null ? none : reached(f, sl.value_pct),
      first:
        sl.target_s === null
          ? f.text('tile.target', { target })
          : f.text('tile.target_in', { target, seconds: f.number(sl.target_s) }),
      second: f.text('tile.in_time', {
        part: f.number(sl.answered_in_time),
        total: f.number(sl.answered + sl.abandoned),
      }),
      trend: trend(f, slChange, f.number(Math.abs(slChange)), window),
    }),
    tile(f, {
      key: 'waiting',
      level: t.waiting.level,
      value: f.number(t.waiting.value),
      first: t.waiting.worst_queue
        ? f.text('tile.limit_of', { queue: queueName(t.waiting.worst_queue), limit: f.number(t.waiting.limit) })
        : f.text('tile.within'),
      second: f.text('tile.in_menu', { count: f.number(t.waiting.in_menu) }),
      trend: trend(f, waitChange, f.number(Math.abs(waitChange)), WAITING_BACK_MINUTES),
    }),
    tile(f, {
      key: 'longest',
      level: t.longest.level,
      value: f.duration(t.longest.since_us ? seconds(t.longest.since_us, now) : 0),
      first: t.longest.since_us
        ? f.text('tile.limit_of', { queue: queueName(t.longest.queue), limit: f.duration(t.longest.limit_s) })
        : f.text('tile.nobody'),
    }),
    tile(f, {
      key: 'idle',
      level: t.idle.level,
      value: f.number(t.idle.value),
      small: f.text('tile.of', { total: f.number(t.idle.logged_in) }),
      first: f.text('tile.busy', { talking: f.number(onThePhone), pausing: f.number(count('break')) }),
      second: f.text('tile.wrap', { count: f.number(count('wrap_up')) }),
    }),
    tile(f, {
      key: 'abandoned',
      level: t.abandoned.level,
      value: t.abandoned.value_pct === null ? none : f.percent(t.abandoned.value_pct, 1),
      first: f.text('tile.gave_up', {
        part: f.number(t.abandoned.abandoned),
        total: f.number(t.abandoned.offered),
        limit: f.percent(t.abandoned.limit_pct),
      }),
      second: f.text('tile.left_menu', { count: f.number(t.abandoned.left_menu) }),
    }),
    tile(f, {
      key: 'answer',
      level: t.answer.level,
      value: t.answer.value_ms === null ? none : f.duration(t.answer.value_ms / 1000),
      first: f.text('tile.target', { target: f.duration(t.answer.target_s) }),
      second: f.text('tile.answered', { count: f.number(t.answer.answered), minutes: f.number(window) }),
    }),
  );
}

/** A number in the table; a raised one has an icon and a word besides its colour. @param {Format} f @param {Level} level @param {string} text */
function mark(f, level, text) {
  if (level !== 'warn' && level !== 'crit') return h('span', { class: 'mark' }, text);
  return h('span', { class: `mark lv-${level}` }, icon(level), text, sr(` ${f.text(`level.${level}`)}`));
}

/** @param {number[]} series @param {string} label */
function spark(series, label) {
  const top = Math.max(...series, 1);
  const points = series.map((v, i) => `${3 + i * 12},${21 - (v / top) * 18}`);
  const [x, y] = points[points.length - 1].split(',');
  return h(
    'svg',
    { class: 'spark', viewBox: '0 0 90 24', role: 'img', 'aria-label': label },
    h('polyline', { points: points.join(' ') }),
    h('circle', { cx: x, cy: y, r: 2.5 }),
  );
}

/** @param {Format} f @param {any} q */
function serviceLevel(f, q) {
  if (q.service_level_pct === null) return h('span', { class: 'muted' }, f.text('queues.no_value'));
  const value = reached(f, q.service_level_pct);
  const label = f.text('queues.target_label', {
    value,
    level: f.text(`level.${q.service_level}`),
    target: f.percent(q.target_pct),
    seconds: f.number(q.target_s),
    part: f.number(q.answered_in_time),
    total: f.number(q.answered + q.abandoned),
  });
  return h(
    'span',
    { class: `meter lv-${q.service_level}`, title: label },
    h(
      'svg',
      { viewBox: '0 0 100 12', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      h('rect', { class: 'track', x: 0, y: 3, width: 100, height: 6, rx: 1.5 }),
      h('rect', { class: 'fill', x: 0, y: 3, width: q.service_level_pct.toFixed(1), height: 6, rx: 1.5 }),
      h('rect', { class: 'target', x: q.target_pct - 0.7, y: 0, width: 1.4, height: 12 }),
    ),
    h('b', { 'aria-hidden': 'true' }, value),
    q.service_level === 'warn' || q.service_level === 'crit' ? icon(q.service_level) : null,
    sr(label),
  );
}

/** @param {Format} f @param {any} board @param {number} now */
function queues(f, board, now) {
  const columns = ['name', 'service_level', 'waiting', 'longest', 'talking', 'idle', 'wrap_up', 'abandoned', 'trend'];
  // The roles are written out because the phone's layout turns rows into blocks, which takes them away.
  const cell = (/** @type {string} */ column, /** @type {Node | string} */ content) =>
    h('td', { role: 'cell', class: `col-${column}`, 'data-label': f.text(`queues.${column}`) }, content);
  const rows = board.queues.map((/** @type {any} */ q) =>
    h(
      'tr',
      { role: 'row', 'data-key': q.id, 'data-queue': q.id },
      h('th', { role: 'rowheader', scope: 'row' }, f.name(q.names, q.id)),
      cell('service_level', serviceLevel(f, q)),
      cell('waiting', mark(f, q.waiting_level, f.number(q.waiting))),
      cell('longest', mark(f, q.longest_level, f.duration(q.waiting ? seconds(q.longest_since_us, now) : 0))),
      cell('talking', f.number(q.talking)),
      cell('idle', mark(f, q.idle_level, f.number(q.idle))),
      cell('wrap_up', f.number(q.wrap_up)),
      cell('abandoned', mark(f, q.abandoned_level, q.abandoned_pct === null ? '–' : f.percent(q.abandoned_pct, 1))),
      cell('trend', spark(q.trend, f.text('queues.trend_label', { series: q.trend.map((/** @type {number} */ n) => f.number(n)).join(' ') }))),
    ),
  );
  const b = board.books;
  const today = f.text('books.today', {
    offered: f.number(b.offered),
    answered: f.number(b.answered),
    abandoned: f.number(b.abandoned_queue + b.abandoned_menu),
    other: f.number(b.other),
    open: f.number(b.open),
  });
  return h(
    'section',
    { class: 'card queues', 'aria-labelledby': 'queues-title' },
    h(
      'div',
      { class: 'card-head' },
      h('h2', { id: 'queues-title' }, f.text('queues.title')),
      h('span', { class: 'muted' }, f.text('queues.window', { minutes: f.number(board.window_s / 60) })),
      h('span', { class: 'muted end', id: 'books' }, today),
    ),
    h(
      'table',
      { role: 'table', 'aria-labelledby': 'queues-title' },
      h(
        'thead',
        { role: 'rowgroup' },
        h(
          'tr',
          { role: 'row' },
          ...columns.map((c) => h('th', { role: 'columnheader', scope: 'col', class: `col-${c}` }, f.text(`queues.${c}`))),
        ),
      ),
      h('tbody', { role: 'rowgroup' }, ...rows),
    ),
  );
}

/** @param {Format} f @param {any} board @param {number} now */
function agents(f, board, now) {
  const total = board.agent_states.reduce((/** @type {number} */ n, /** @type {any} */ s) => n + s.count, 0);
  const counts = STATES.map((state) => ({
    state,
    count: board.agent_states.find((/** @type {any} */ s) => s.state === state)?.count ?? 0,
  }));
  let x = 0;
  const stack = counts.map(({ state, count }) => {
    const width = total ? (count / total) * 100 : 0;
    const rect = h('rect', { class: `st-${state}`, x: x.toFixed(2), y: 0, width: Math.max(0, width - 0.4).toFixed(2), height: 10 });
    x += width;
    return rect;
  });
  const shown = board.agents.slice(0, PEOPLE_ON_WALL[isFew(board) ? 'few' : 'many']);
  const people = shown.map((/** @type {any} */ a) => {
    const reasonKey = `reason.${a.reason}`;
    const reason = f.has(reasonKey) ? f.text(reasonKey) : a.reason ? f.name(a.reason_names, a.reason) : '';
    const word = reason || f.text(`state.${a.state}`);
    return h(
      'li',
      { class: `person st-${a.state}${a.level === 'none' ? '' : ` lv-${a.level}`}`, 'data-key': a.id, 'data-agent': a.id, 'data-state': a.state },
      icon(a.state),
      h('span', { class: 'who' }, f.name(a.names, a.id)),
      h('span', { class: 'what' }, word),
      h('span', { class: 'time' }, f.duration(seconds(a.since_us, now))),
    );
  });
  const more = total - shown.length;
  return h(
    'section',
    { class: 'card agents', 'aria-labelledby': 'agents-title' },
    h(
      'div',
      { class: 'card-head' },
      h('h2', { id: 'agents-title' }, f.text('agents.title')),
      h('span', { class: 'muted end' }, f.text('agents.logged_in', { count: f.number(total) })),
      more > 0 ? h('span', { class: 'muted' }, f.text('agents.shown', { count: f.number(shown.length) })) : null,
    ),
    h(
      'div',
      { class: 'card-body' },
      h('svg', { class: 'stack', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...stack),
      h(
        'ul',
        { class: 'legend' },
        ...counts.map(({ state, count }) =>
          h('li', { class: `st-${state}` }, h('span', { class: 'dot' }), f.text(`state.${state}`), h('b', {}, f.number(count))),
        ),
      ),
      total === 0 ? h('p', { class: 'muted' }, f.text('agents.nobody')) : h('ul', { class: 'people' }, ...people),
    ),
  );
}

/** One alarm in words. @param {Format} f @param {any} a @param {number} now */
export function alarmText(f, a, now) {
  const percent = a.code === 'service_level';
  return f.text(`alarm.${a.code}`, {
    name: f.name(a.names, a.subject),
    time: f.duration(seconds(a.since_us, now)),
    value: percent ? reached(f, a.value) : f.number(a.value),
    bound: percent ? f.percent(a.bound) : f.duration(a.bound),
  });
}

/** @param {Format} f @param {any} board @param {number} now */
function alarms(f, board, now) {
  const shown = board.alarms.slice(0, ALARMS_ON_WALL);
  const more = board.alarms_total - shown.length;
  const worst = board.alarms[0]?.level ?? 'ok';
  return h(
    'section',
    { class: 'card alarms', 'aria-labelledby': 'alarms-title' },
    h(
      'div',
      { class: 'card-head' },
      h('h2', { id: 'alarms-title' }, f.text('alarms.title')),
      h('span', { class: `pill end lv-${worst}`, id: 'alarm-count' }, f.number(board.alarms_total)),
    ),
    shown.length === 0
      ? h('p', { class: 'calm lv-ok' }, icon('ok'), f.text('alarms.none'))
      : h(
          'ul',
          {},
          ...shown.map((/** @type {any} */ a) =>
            h(
              'li',
              { class: `lv-${a.level}`, 'data-key': `${a.code} ${a.subject}`, 'data-alarm': a.code },
              icon(a.level),
              h('span', {}, sr(`${f.text(`level.${a.level}`)}: `), alarmText(f, a, now)),
            ),
          ),
        ),
    more > 0 ? h('p', { class: 'muted more' }, f.text('alarms.more', { count: f.number(more) })) : null,
  );
}

/** A round number at or above, for the top of a scale. @param {number} value */
function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 5, 10].map((m) => m * step).find((m) => m >= value && m >= 4) ?? 10 * step;
}

/** @param {Format} f @param {any} board */
function bars(f, board) {
  const quarters = board.quarters;
  const top = roundUp(Math.max(...quarters.map((/** @type {any} */ q) => q.answered + q.abandoned)));
  const width = 100 / quarters.length;
  const shapes = quarters.flatMap((/** @type {any} */ q, /** @type {number} */ i) => {
    const answered = (q.answered / top) * 100;
    const abandoned = (q.abandoned / top) * 100;
    const x = (i * width + width * 0.18).toFixed(2);
    const w = (width * 0.64).toFixed(2);
    const gap = answered && abandoned ? 0.8 : 0;
    return [
      h('rect', { class: 'st-talking', x, width: w, y: (100 - answered).toFixed(2), height: answered.toFixed(2) }),
      h('rect', {
        class: 'lv-crit',
        x,
        width: w,
        y: (100 - answered - abandoned).toFixed(2),
        height: Math.max(0, abandoned - gap).toFixed(2),
      }),
    ];
  });
  return h(
    'section',
    { class: 'card bars', 'aria-labelledby': 'bars-title' },
    h(
      'div',
      { class: 'card-head' },
      h('h2', { id: 'bars-title' }, f.text('bars.title')),
      h(
        'span',
        { class: 'keys end', 'aria-hidden': 'true' },
        h('span', { class: 'st-talking' }, h('span', { class: 'dot' }), f.text('bars.answered')),
        h('span', { class: 'lv-crit' }, h('span', { class: 'dot' }), f.text('bars.abandoned')),
      ),
    ),
    h(
      'div',
      { class: 'plot', 'aria-hidden': 'true' },
      h('div', { class: 'scale' }, ...[top, top / 2, 0].map((v) => h('span', {}, f.number(v)))),
      h(
        'div',
        { class: 'area' },
        h(
          'svg',
          { viewBox: '0 0 100 100', preserveAspectRatio: 'none' },
          ...[0, 50, 100].map((y) => h('line', { x1: 0, x2: 100, y1: y, y2: y })),
          ...shapes,
        ),
      ),
      h(
        'div',
        { class: 'times' },
        ...quarters.map((/** @type {any} */ q, /** @type {number} */ i) =>
          h('span', {}, i % 3 === 0 ? f.quarter(q.start_us) : ''),
        ),
      ),
    ),
    h('div', { class: 'hidden' }, barsTable(f, quarters)),
  );
}

/** The bars in words. @param {Format} f @param {any[]} quarters */
function barsTable(f, quarters) {
  const columns = ['time', 'answered', 'abandoned'];
  return h(
    'table',
    {},
    h('caption', {}, f.text('bars.label')),
    h('thead', {}, h('tr', {}, ...columns.map((c) => h('th', { scope: 'col' }, f.text(`bars.${c}`))))),
    h(
      'tbody',
      {},
      ...quarters.map((q) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, f.quarter(q.start_us)),
          h('td', {}, f.number(q.answered)),
          h('td', {}, f.number(q.abandoned)),
        ),
      ),
    ),
  );
}

/** The whole board. @param {Format} f @param {any} board @param {number} now */
export function boardView(f, board, now) {
  const few = isFew(board);
  const chart = bars(f, board);
  return h(
    'main',
    {},
    tiles(f, board, now),
    h(
      'div',
      { class: few ? 'columns few' : 'columns' },
      h('div', { class: 'column' }, queues(f, board, now), few ? chart : null),
      h('div', { class: 'column side' }, agents(f, board, now), alarms(f, board, now), few ? null : chart),
    ),
  );
}

/**
 * What is shown instead of a board when there is no token, or one that does not open it.
 * @param {Format} f
 * @param {'body' | 'expired' | 'forbidden' | 'unknown'} why
 */
export function signInView(f, why) {
  return h(
    'main',
    {},
    h(
      'section',
      { class: 'card signin', 'aria-labelledby': 'signin-title' },
      h('h2', { id: 'signin-title' }, icon('key'), f.text('signin.title')),
      h('p', { role: why === 'body' ? null : 'alert' }, f.text(`signin.${why}`)),
      h(
        'form',
        { id: 'signin' },
        h('label', { for: 'token' }, f.text('signin.label')),
        h('input', { id: 'token', name: 'token', type: 'password', autocomplete: 'off', required: true, dir: 'ltr' }),
        h('button', { type: 'submit', class: 'button primary' }, f.text('signin.open')),
      ),
    ),
  );
}

/** @param {Format} f */
export function waitingView(f) {
  return h('main', {}, h('p', { class: 'connecting' }, f.text('link.connecting')));
}

/** @typedef {{ kind: 'none' | 'connecting' | 'live' | 'late' | 'lost', age: number }} Link */

/** @param {Format} f @param {Link} link */
function freshness(f, link) {
  const level = { none: 'none', connecting: 'none', live: 'ok', late: 'warn', lost: 'crit' }[link.kind];
  return h(
    'span',
    { class: `pill lv-${level}`, id: 'link', 'data-link': link.kind },
    icon(link.kind === 'lost' ? 'wifi-off' : 'wifi'),
    f.text(`link.${link.kind}`, { age: f.age(link.age) }),
  );
}

/**
 * The line on top: name, freshness, controls, day and clock.
 * @param {Format} f
 * @param {any} board null before the first frame
 * @param {number} now
 * @param {Link} link
 * @param {boolean} dark
 */
export function topView(f, board, now, link, dark) {
  const other = f.language === 'fa' ? 'en' : 'fa';
  return h(
    'header',
    {},
    h('h1', {}, board ? f.text('page.heading', { name: f.name(board.names, board.tenant) }) : f.text('page.title')),
    link.kind === 'none' ? null : freshness(f, link),
    h(
      'div',
      { class: 'controls end' },
      h('button', { type: 'button', id: 'language', class: 'button', lang: other, dir: other === 'fa' ? 'rtl' : 'ltr' }, icon('globe'), f.text('page.language')),
      h(
        'button',
        { type: 'button', id: 'theme', class: 'button', 'aria-label': f.text(dark ? 'page.theme.light' : 'page.theme.dark'), title: f.text(dark ? 'page.theme.light' : 'page.theme.dark') },
        icon(dark ? 'sun' : 'moon'),
      ),
    ),
    board ? h('span', { class: 'day' }, f.date(now, board.languages.includes('fa'))) : null,
    board ? h('span', { class: 'clock', role: 'timer' }, f.clock(now)) : null,
  );
}
