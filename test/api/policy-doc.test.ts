import { expect, it } from 'vitest';
import { durationOf } from '../../src/cli/units.ts';
import { POLICY } from '../../src/machine/detection/types.ts';
import { readText } from '../tidy/files.ts';

it('docs/policy.md has every number with its default, and says what it is', () => {
  const rows = [...readText('docs/policy.md').matchAll(/^\| `(\w+)` +\| (\S+) +\| (\S.*\S) +\|$/gm)];
  const told = rows.map(([, name = '', value = '']) => [name, name.endsWith('Ms') ? durationOf(value) : Number(value)]);
  expect(Object.fromEntries(told)).toEqual(
    Object.fromEntries(Object.entries(POLICY).map(([name, { normal }]) => [name, normal])),
  );
  expect(rows).toHaveLength(Object.keys(POLICY).length);
});
