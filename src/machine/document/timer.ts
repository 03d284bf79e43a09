/** The timer of document. Returns how much of the budget it used, at least 1 (timers.ts). */
export { dropEntries as tombstoneDue } from './decommission.ts';
