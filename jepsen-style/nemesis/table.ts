/** All nemeses, and the names under which several are asked for together. */
import { CLOCKS } from './clocks.ts';
import { DAMAGE } from './damage.ts';
import { DISKS } from './disks.ts';
import { LINKS } from './links.ts';
import { MEMBERSHIP } from './membership.ts';
import { PARTITIONS } from './partitions.ts';
import { PROCESSES } from './processes.ts';
import type { Nemesis } from './types.ts';

export const NEMESES: readonly Nemesis[] = [
  ...PARTITIONS,
  ...PROCESSES,
  ...LINKS,
  ...CLOCKS,
  ...DISKS,
  ...DAMAGE,
  ...MEMBERSHIP,
];

/** Nemeses of a comma-separated list of names, prefixes (`kill` is all that begins with `kill-`), `all` or `none`. */
export function parseNemeses(list: string): readonly Nemesis[] {
  const found = new Set<Nemesis>();
  for (const word of list.split(',').filter((part) => part !== '' && part !== 'none')) {
    const matching = NEMESES.filter(({ name }) => word === 'all' || name === word || name.startsWith(`${word}-`));
    if (matching.length === 0) {
      const names = NEMESES.map(({ name }) => name).join(', ');
      throw new RangeError(`--nemesis: there is no ${word}; there are all, none and ${names}`);
    }
    for (const one of matching) found.add(one);
  }
  return [...found];
}
