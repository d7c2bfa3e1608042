/* Who looks. A bearer token comes in the address (#token=...) or is typed, and is kept for this tab alone: the pages share
   it, a reload keeps it, another tab or the next person at this machine does not get it. */

const KEY = 'peyvand.token';

export function storedToken(): string {
  return sessionStorage.getItem(KEY) ?? '';
}

export function storeToken(token: string): void {
  if (token === '') sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

/** The role that a token says it has: for what is offered on the screen only, the server decides by itself. */
export function roleOf(token: string): string {
  try {
    const claims: unknown = JSON.parse(atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims === 'object' && claims !== null && 'role' in claims ? String(claims.role) : '';
  } catch {
    return '';
  }
}

/** Whether a role may open the history pages (the server's rule: `Reader` of services/reporting/api.py). */
export function mayReadReports(token: string): boolean {
  return ['supervisor', 'analyst', 'admin'].includes(roleOf(token));
}
