/* The wallboard: reads its address, follows the stream, paints.

   The address carries everything: /wallboard#token=...&lang=fa&theme=dark. The part after # never reaches a server or
   its log. Without lang the browser's language decides, without theme the machine's setting. */

import { merge } from './dom.js';
import { Format } from './format.js';
import { follow } from './stream.js';
import { alarmText, boardView, signInView, topView, waitingView } from './view.js';

const LATE_S = 5;
const LOST_S = 15;
const LANGUAGES = /** @type {const} */ (['en', 'fa']);

const darkSetting = matchMedia('(prefers-color-scheme: dark)');
const catalogues = Object.fromEntries(
  await Promise.all(
    LANGUAGES.map(async (language) => {
      const response = await fetch(new URL(`text.${language}.json`, import.meta.url));
      return [language, await response.json()];
    }),
  ),
);

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const state = {
  token: '',
  /** @type {'en' | 'fa'} */ language: 'en',
  dark: false,
  /** @type {any} */ board: null,
  receivedAt: performance.now(),
  /** @type {null | 'body' | 'expired' | 'forbidden' | 'unknown'} */ refused: null,
  lost: false,
  /** @type {Set<string>} */ alarms: new Set(),
};
/** @type {Format} */ let format;
let formatFor = '';
let stop = () => {};

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const language = address.get('lang');
  const spoken = navigator.language.toLowerCase().startsWith('fa') ? 'fa' : 'en';
  state.language = language === 'en' || language === 'fa' ? language : spoken;
  const theme = address.get('theme');
  state.dark = theme === 'dark' || (theme !== 'light' && darkSetting.matches);
  const token = address.get('token') ?? '';
  if (token !== state.token || (token === '' && state.refused === null)) connect(token);
  paint();
}

/** Change one part of the address in place. @param {string} name @param {string} value */
function writeAddress(name, value) {
  const address = new URLSearchParams(location.hash.slice(1));
  address.set(name, value);
  history.replaceState(null, '', `#${address}`);
  readAddress();
}

/** @param {string} token */
function connect(token) {
  stop();
  Object.assign(state, { token, board: null, refused: token === '' ? 'body' : null, lost: false, receivedAt: performance.now() });
  state.alarms.clear();
  if (token === '') return;
  const url = new URL('../../v1/live', import.meta.url);
  stop = follow(url.href, token, {
    onFrame(board) {
      state.board = board;
      state.receivedAt = performance.now();
      announceAlarms();
      paint();
    },
    onRefused(status) {
      Object.assign(state, { board: null, refused: status === 401 ? 'expired' : status === 403 ? 'forbidden' : 'unknown' });
      paint();
    },
  });
}

/** Tell screen readers what is new among the alarms, once. */
function announceAlarms() {
  const keyOf = (/** @type {any} */ a) => `${a.code} ${a.subject} ${a.level}`;
  const fresh = state.board.alarms.filter((/** @type {any} */ a) => !state.alarms.has(keyOf(a)));
  state.alarms = new Set(state.board.alarms.map(keyOf));
  if (fresh.length === 0) return;
  useFormat();
  const what = fresh.slice(0, 3).map((/** @type {any} */ a) => alarmText(format, a, state.board.now_us));
  element('polite').textContent = format.text('alarms.said', { what: what.join('; ') });
}

function useFormat() {
  const zone = state.board?.time_zone ?? 'UTC';
  const wanted = `${state.language} ${zone}`;
  if (formatFor === wanted) return;
  format = new Format(state.language, catalogues[state.language], zone);
  formatFor = wanted;
}

/** @returns {import('./view.js').Link} */
function link() {
  const age = (performance.now() - state.receivedAt) / 1000;
  if (state.refused !== null) return { kind: 'none', age };
  if (age >= LOST_S) return { kind: 'lost', age };
  if (state.board === null) return { kind: 'connecting', age };
  return { kind: age >= LATE_S ? 'late' : 'live', age };
}

function paint() {
  useFormat();
  const root = document.documentElement;
  root.lang = state.language;
  root.dir = state.language === 'fa' ? 'rtl' : 'ltr';
  root.dataset.theme = state.dark ? 'dark' : 'light';

  const news = link();
  const lost = news.kind === 'lost';
  root.classList.toggle('stale', lost);
  if (lost !== state.lost) {
    state.lost = lost;
    element('urgent').textContent = format.text(lost ? 'link.said.lost' : 'link.said.back');
  }

  // Timers stand still once the data are too old to say that anything still goes on.
  const now = state.board ? state.board.now_us + Math.min(news.age, LOST_S) * 1e6 : 0;
  const clock = state.board ? state.board.now_us + news.age * 1e6 : 0;
  merge(element('top'), keepId(topView(format, state.board, clock, news, state.dark), 'top'));
  const body = state.refused !== null ? signInView(format, state.refused) : state.board ? boardView(format, state.board, now) : waitingView(format);
  body.setAttribute('tabindex', '-1');
  merge(element('board'), keepId(body, 'board'));
  element('skip').textContent = format.text('page.skip');
  element('skip').hidden = false;
  document.title = state.board ? `${format.text('page.title')} · ${format.name(state.board.names, state.board.tenant)}` : format.text('page.title');
}

/** @param {Element} view @param {string} id */
function keepId(view, id) {
  view.id = id;
  return view;
}

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button') : null;
  if (button?.id === 'language') writeAddress('lang', state.language === 'fa' ? 'en' : 'fa');
  if (button?.id === 'theme') writeAddress('theme', state.dark ? 'light' : 'dark');
});
document.addEventListener('submit', (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (element('token'));
  const token = input.value.trim();
  input.value = '';
  connect(token); // also when it is the one that was refused before
  writeAddress('token', token);
});
element('skip').addEventListener('click', (event) => {
  // The fragment is ours; following the link would overwrite it.
  event.preventDefault();
  element('board').focus();
});
// A page kept by the browser for its back button must not hold a stream open that nobody sees.
addEventListener('pagehide', () => stop());
addEventListener('pageshow', (event) => {
  if (event.persisted && state.token !== '') connect(state.token);
});
addEventListener('hashchange', readAddress);
darkSetting.addEventListener('change', readAddress);
// A hidden tab is throttled; it must not show old timers for a moment when it comes back.
document.addEventListener('visibilitychange', paint);
readAddress();
setInterval(paint, 1000);
