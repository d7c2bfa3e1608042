/* Something asked from the server: what is there, whether it is being asked again, and what went wrong. */

import { ApiError, get } from './api';
import { page } from './page.svelte';
import { refusalOf, type Refusal } from './refusal';

export class Load<T> {
  data = $state.raw<T | null>(null);
  busy = $state(false);
  /** What the server said was wrong; `unreachable` when it said nothing. */
  problem = $state<string | null>(null);
  refused = $state<Refusal | null>(null);
  private asking: AbortController | null = null;

  /**
   * Ask an address; what was there stays until the answer comes. A later question makes an
   * earlier one void. Returns whether this one was answered.
   */
  async ask(path: string): Promise<boolean> {
    this.stop();
    const asking = new AbortController();
    this.asking = asking;
    this.busy = true;
    this.problem = this.refused = null;
    try {
      const found = await get<T>(path, page.token, asking.signal);
      if (asking.signal.aborted) return false;
      this.data = found;
      return true;
    } catch (error) {
      if (asking.signal.aborted) return false;
      this.data = null;
      if (!(error instanceof ApiError)) this.problem = 'unreachable';
      else if (error.status === 401 || error.status === 403) this.refused = refusalOf(error.status);
      else this.problem = error.message;
      return false;
    } finally {
      if (this.asking === asking) this.busy = false;
    }
  }

  stop(): void {
    this.asking?.abort();
    this.asking = null;
    this.busy = false;
  }
}
