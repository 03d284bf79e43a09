/** The table of rare branches names each that the core has, and the check says what is missing. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MARK_MINIMA, missedMarks } from './marks.ts';

const CORE = new URL('../../src/raft/', import.meta.url);

function namesInTheCore(): readonly string[] {
  const names = new Set<string>();
  for (const path of readdirSync(CORE, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.ts')) continue;
    const calls = readFileSync(new URL(path, CORE), 'utf8').matchAll(/\bmark\(state, ([^)]*)\)/g);
    for (const [, argument = ''] of calls)
      for (const [, name = ''] of argument.matchAll(/'([a-z_]+)'/g)) names.add(name);
  }
  names.delete('probe');
  return [...names].sort();
}

describe('coverage marks', () => {
  it('are the ones in the table, no more and no fewer', () => {
    expect(namesInTheCore()).toEqual(Object.keys(MARK_MINIMA).sort());
  });

  it('are missed when they are met too rarely, or never', () => {
    const plenty = Object.fromEntries(Object.keys(MARK_MINIMA).map((name) => [name, 1_000_000]));
    expect(missedMarks(plenty, 1_000)).toEqual([]);
    expect(missedMarks({ ...plenty, old_term: 199 }, 1_000)).toEqual(['old_term: 199, not 200']);
    expect(missedMarks({ ...plenty, old_term: 399 }, 2_000)).toEqual(['old_term: 399, not 400']);
    expect(missedMarks({ ...plenty, log_read_empty: 0 }, 9_999)).toEqual([]);
    expect(missedMarks({ ...plenty, log_read_empty: 0 }, 10_000)).toEqual(['log_read_empty: 0, not 1']);
    expect(missedMarks({}, 1_000).some((line) => line.startsWith('misaddressed'))).toBe(false);
  });
});
