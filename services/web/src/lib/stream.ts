/* The board's frames: server-sent events read with fetch(), because EventSource cannot send an Authorization header. */

import type { Board } from '../live/board';

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15000;
// The server says something at least every 15 s; a connection that is silent for longer is dead without knowing it.
const SILENCE_MS = 40000;

export interface Listener {
  onFrame(board: Board): void;
  /** The server does not let this token in: 401, 403 or 404. */
  onRefused(status: number): void;
}

/** Read frames until told to stop (by the function returned); a lost connection is made again after a random part of a growing delay. */
export function follow(url: string, token: string, listener: Listener): () => void {
  const stop = new AbortController();
  let delay = FIRST_DELAY_MS;

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      const attempt = new AbortController();
      const end = () => attempt.abort();
      stop.signal.addEventListener('abort', end);
      try {
        const status = await read(url, token, attempt, (board) => {
          delay = FIRST_DELAY_MS;
          listener.onFrame(board);
        });
        if (status === 401 || status === 403 || status === 404) {
          if (!stop.signal.aborted) listener.onRefused(status);
          return;
        }
      } catch (error) {
        if (!stop.signal.aborted) console.warn('wallboard: stream lost', String(error));
      } finally {
        attempt.abort();
        stop.signal.removeEventListener('abort', end);
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * delay));
      delay = Math.min(delay * 2, LONGEST_DELAY_MS);
    }
  }
  void run();
  return () => stop.abort();
}

/** One connection from beginning to end. Returns the status. */
async function read(url: string, token: string, attempt: AbortController, onFrame: (board: Board) => void): Promise<number> {
  let watch = setTimeout(() => attempt.abort(), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' },
      cache: 'no-store',
      signal: attempt.signal,
    });
    if (!response.ok || response.body === null) return response.status;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return response.status;
      clearTimeout(watch);
      watch = setTimeout(() => attempt.abort(), SILENCE_MS);
      const events = (rest + value).split('\n\n');
      rest = events.pop() ?? '';
      const frames = events.map(dataOf).filter((data) => data !== '');
      // After a pause several may have come at once: the last one is the truth.
      const newest = frames.at(-1);
      if (newest !== undefined) onFrame(JSON.parse(newest) as Board);
    }
  } finally {
    clearTimeout(watch);
  }
}

/** The data of one event; empty for comments. */
function dataOf(event: string): string {
  return event
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n');
}
