/** A quiet world with a log of a few kilobytes and short waits: tens of thousands of clusters are started in it. */
import { SCRIPT_OPTIONS } from '../crash-points/options.ts';
import type { SimOptions } from '../options.ts';

export const EVERY_BIT_OPTIONS: SimOptions = {
  ...SCRIPT_OPTIONS,
  settings: {
    ...SCRIPT_OPTIONS.settings,
    tickMs: 20,
    electionTicks: 5,
    heartbeatTicks: 2,
    leaseTicks: 3,
    leaseMs: 40,
    logKeepBytes: 1024 * 1024,
    logKeepSlowBytes: 1024 * 1024,
  },
  clients: { ...SCRIPT_OPTIONS.clients, watchers: 0 },
};
