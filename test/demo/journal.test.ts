import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findRepetitions, Journal, type JournalLine, readJournal } from '../../src/demo/journal.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-journal-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** `1s a` means: attempt 1 started a; p performed, r recorded. */
function lines(...texts: string[]): JournalLine[] {
  const kinds = { s: 'started', p: 'performed', r: 'recorded' } as const;
  return texts.map((text) => ({
    kind: kinds[text[1] as keyof typeof kinds],
    g: 1,
    phase: 'CONSTRUCT',
    attempt: Number(text[0]),
    id: text.slice(3),
  }));
}

describe('P5: what counts as run twice', () => {
  test.each<[string, string[], Record<string, number>, string[], string[]]>([
    ['everything once', ['1s a', '1p a', '1r a', '2s b', '2p b', '2r b'], { a: 1, b: 2 }, [], []],
    ['recorded by the first, run by the second', ['1s a', '1p a', '1r a', '2s a', '2p a'], { a: 1 }, ['a'], []],
    ['recorded, but the first died before it heard so', ['1s a', '1p a', '2s a', '2p a'], { a: 1 }, ['a'], []],
    ['performed by the first, not recorded', ['1s a', '1p a', '2s a', '2p a', '2r a'], { a: 2 }, [], ['a']],
    ['only started by the first', ['1s a', '2s a', '2p a', '2r a'], { a: 2 }, [], []],
    ['twice by one attempt after it was recorded', ['1s a', '1p a', '1r a', '1s a'], { a: 1 }, ['a'], []],
    ['started again, and the run is not finished', ['1s a', '1p a', '1r a', '2s a'], { a: 1 }, ['a'], []],
  ])('%s', (_name, journal, owners, runTwice, redoneUnrecorded) => {
    expect(findRepetitions(lines(...journal), new Map(Object.entries(owners)))).toEqual({ runTwice, redoneUnrecorded });
  });

  test('a line that was cut by the kill is left out', () => {
    const path = join(folder, 'j.jsonl');
    const journal = new Journal(path);
    journal.write(lines('1s a', '1p a'));
    journal.close();
    appendFileSync(path, '{"kind":"recor');
    expect(readJournal(path)).toEqual(lines('1s a', '1p a'));
  });
});
