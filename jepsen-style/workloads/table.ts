/** All workloads by name. */
import { APPEND } from './append.ts';
import { EFFECTS } from './effects.ts';
import { FENCING } from './fencing.ts';
import { PHASE } from './phase.ts';
import { REGISTER } from './register.ts';
import { SESSIONS } from './sessions.ts';
import { SET } from './set.ts';
import type { Workload } from './types.ts';
import { WATCH } from './watch.ts';

export const WORKLOADS: readonly Workload[] = [REGISTER, SET, APPEND, PHASE, EFFECTS, FENCING, WATCH, SESSIONS];

export function parseWorkloads(list: string): readonly Workload[] {
  const words = list.split(',').filter((word) => word !== '');
  const found = words.flatMap((word) => {
    const matching = WORKLOADS.filter(({ name }) => word === 'all' || name === word);
    if (matching.length > 0) return matching;
    throw new RangeError(
      `--workload: there is no ${word}; there are all and ${WORKLOADS.map(({ name }) => name).join(', ')}`,
    );
  });
  return [...new Set(found)];
}
