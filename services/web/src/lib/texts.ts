import en from '../texts/en.json';
import fa from '../texts/fa.json';

export type Language = 'en' | 'fa';
export type Key = keyof typeof en;

// Typed by each other: a key that one language lacks does not compile.
const english: Record<keyof typeof fa, string> = en;
const persian: Record<Key, string> = fa;

export const CATALOGUES: Record<Language, Record<string, string>> = { en: english, fa: persian };
