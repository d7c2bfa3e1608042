/* The address carries what a page shows: /wallboard#lang=fa&theme=dark, /reports#view=day&from=2026-11-21. What stands
   after # never reaches a server or its log. */

export type Parameters = Record<string, string>;

/** The parts after # of an address. */
export function readFragment(hash: string): Parameters {
  return Object.fromEntries(new URLSearchParams(hash.replace(/^#/, '')));
}

/** The text after # for these parts; empty ones are left out. */
export function writeFragment(parameters: Parameters): string {
  const kept = Object.entries(parameters).filter(([, value]) => value !== '');
  return `#${new URLSearchParams(kept)}`;
}
