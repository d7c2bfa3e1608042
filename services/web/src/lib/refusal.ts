/* Why a page is not shown: no token yet, or the server's answer to the one there is. */

export type Refusal = 'body' | 'expired' | 'forbidden' | 'unknown';

/** Of a status 401, 403 or 404. */
export function refusalOf(status: number): Refusal {
  if (status === 401) return 'expired';
  return status === 403 ? 'forbidden' : 'unknown';
}
