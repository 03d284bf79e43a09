/** The catalogue of mutants is not stale, and no known bug is forgotten. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Mutant, NotApplicable } from './mutant.ts';

const ROOT = new URL('../../', import.meta.url);

function read<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(`test/mutants/${name}`, ROOT), 'utf8')) as readonly T[];
}

const catalogue = read<Mutant>('catalogue.json');
const notApplicable = read<NotApplicable>('not-applicable.json');
const rows = read<{ readonly row: string }>('rows.json').map(({ row }) => row);

describe('the catalogue of mutants', () => {
  it('matches each file exactly once, and changes it', () => {
    for (const mutant of catalogue) {
      for (const edit of [mutant, ...(mutant.also ?? [])]) {
        const parts = readFileSync(new URL(edit.file, ROOT), 'utf8').split(edit.find);
        expect(parts.length - 1, `${mutant.id}: ${edit.find}`).toBe(1);
        expect(edit.replace).not.toBe(edit.find);
      }
    }
    expect(new Set(catalogue.map(({ id }) => id)).size).toBe(catalogue.length);
  });

  it('covers every row of the known bugs, or says why not', () => {
    expect(rows.length).toBeGreaterThan(50);
    // The table itself is not part of the project; where it is at hand, the rows are held against it.
    const table = process.env.QUORATE_KNOWN_BUGS;
    const text = table === undefined ? null : readFileSync(table, 'utf8');
    const named = text === null ? rows : [...text.matchAll(/^\| ([A-Z]\d+) \|/gm)].map((match) => match[1]);
    expect([...named].sort()).toEqual([...rows].sort());
    const isOf = (id: string, row: string): boolean => id === row || id.startsWith(`${row}-`);
    const covered = rows.filter((row) => catalogue.some(({ id }) => isOf(id, row)));
    const explained = notApplicable.map(({ row }) => row);
    expect([...covered, ...explained].sort()).toEqual([...rows].sort());
    for (const { reason } of notApplicable) expect(reason.length).toBeGreaterThan(20);
  });

  it('names tests and scopes that are there', () => {
    const scopes = readFileSync(new URL('test/model/scopes.ts', ROOT), 'utf8');
    for (const { id, test, model } of catalogue) {
      for (const path of test?.split(',') ?? [])
        expect(existsSync(new URL(path.trim(), ROOT)), `${id}: ${path}`).toBe(true);
      if (model !== undefined) expect(scopes).toContain(`name: '${model}'`);
    }
  });
});
