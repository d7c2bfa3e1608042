/* What every page shares: its address, language, theme, who looks, and what is told to screen readers. */

import { flushSync } from 'svelte';

import { readFragment, writeFragment, type Parameters } from './address';
import type { Refusal } from './refusal';
import { storedToken, storeToken } from './session';
import type { Language } from './texts';

export type PageName = 'wallboard' | 'reports';

const darkSetting = matchMedia('(prefers-color-scheme: dark)');

class Page {
  readonly name: PageName = location.pathname.endsWith('/reports') ? 'reports' : 'wallboard';
  /** What stands after # in the address. */
  parameters = $state.raw<Parameters>({});
  token = $state('');
  /** Grows with each sign-in, also with the token that was refused before. */
  attempt = $state(0);
  /** Why the server did not take the token, where it did not. */
  refused = $state<Refusal | null>(null);
  /** For screen readers, at the next pause and at once. */
  polite = $state('');
  urgent = $state('');
  private systemDark = $state(darkSetting.matches);
  private printing = $state(false);

  readonly language: Language = $derived.by(() => {
    const asked = this.parameters.lang;
    if (asked === 'en' || asked === 'fa') return asked;
    return navigator.language.toLowerCase().startsWith('fa') ? 'fa' : 'en';
  });
  readonly dark: boolean = $derived(
    !this.printing && (this.parameters.theme === 'dark' || (this.parameters.theme !== 'light' && this.systemDark)),
  );

  constructor() {
    this.readAddress();
    addEventListener('hashchange', () => this.readAddress());
    // What is drawn on a canvas has to be drawn again in the colours of paper before the browser takes its picture.
    addEventListener('beforeprint', () => flushSync(() => (this.printing = true)));
    addEventListener('afterprint', () => (this.printing = false));
    darkSetting.addEventListener('change', () => (this.systemDark = darkSetting.matches));
  }

  private readAddress(): void {
    const parameters = readFragment(location.hash);
    const { token, ...rest } = parameters;
    if (token !== undefined && token !== '') storeToken(token);
    this.token = token || storedToken();
    if (this.name === 'wallboard') {
      this.parameters = parameters; // a screen on the wall is started with its whole address
    } else {
      // A report is printed and its address passed on: neither shall carry the token.
      this.parameters = rest;
      if (token !== undefined) history.replaceState(null, '', writeFragment(rest));
    }
  }

  /** Change parts of the address: in place, or as a step that the back button takes back. */
  go(changes: Parameters, how: 'step' | 'in place' = 'in place'): void {
    this.parameters = Object.fromEntries(
      Object.entries({ ...this.parameters, ...changes }).filter(([, value]) => value !== ''),
    );
    const fragment = writeFragment(this.parameters);
    if (how === 'step') history.pushState(null, '', fragment);
    else history.replaceState(null, '', fragment);
  }

  refuse(why: Refusal): void {
    this.refused = why;
  }

  signIn(token: string): void {
    storeToken(token);
    this.token = token;
    this.refused = null;
    this.attempt += 1;
    if (this.name === 'wallboard') this.go({ token });
  }

  signOut(): void {
    storeToken('');
    this.token = '';
    if (this.name === 'wallboard') this.go({ token: '' });
  }
}

export const page = new Page();
