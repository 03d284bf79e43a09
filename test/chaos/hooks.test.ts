/** What the cores wrote down is judged after each run, and a life that begins without what was durable is not excused. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkCores, TRACE_FOLDER } from '../../jepsen-style/hooks.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-hooks-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A life of m1 that begins, alone in its cluster, with nothing in its log. */
function start(recovering: boolean): string {
  const configuration = { voters: ['m1'], votersOutgoing: [], learners: [] };
  const log = { baseIndex: 0, baseTerm: 0, spans: [], lastIndex: 0 };
  const hardState = { term: 0, votedFor: null };
  const configurations = [{ index: 0, configuration }];
  const event = { kind: 'start', hardState, log, appliedIndex: 0, configurations, recovering };
  return JSON.stringify({ at: 1, member: 'm1', stream: 1, ...event });
}

function verdictOf(lines: readonly string[], damaged: readonly number[] = []) {
  mkdirSync(join(dir, TRACE_FOLDER));
  writeFileSync(join(dir, TRACE_FOLDER, 'm1.ndjson'), `${lines.join('\n')}\n`);
  return checkCores(dir, new Set(damaged))[0];
}

describe('the traces of a run', () => {
  it('hold where every life begins with what was durable', () => {
    expect(verdictOf([start(false), start(false)])).toMatchObject({ workload: 'cores-1', valid: true });
  });

  it('tell of a member that lost what was durable, unless its files were damaged', () => {
    const bad = verdictOf([start(false), start(true)], [0]);
    expect(bad).toMatchObject({ valid: false });
    expect(bad?.detail).toContain('DG: m1 began 1 lives without what was durable');
    rmSync(join(dir, TRACE_FOLDER), { recursive: true });
    expect(verdictOf([start(false), start(true)], [1])).toMatchObject({ valid: true });
  });

  it.each([
    ['are not there', null],
    ['are empty', []],
    ['cannot be read', ['{"at":1}', 'x']],
    ['do not begin with a start', ['{"at":1,"member":"m1","stream":1,"kind":"compact","index":1}']],
  ])('decide nothing where they %s', (_, lines) => {
    const verdict = lines === null ? checkCores(dir, new Set())[0] : verdictOf(lines);
    expect(verdict).toMatchObject({ checker: 'consensus', valid: 'unknown' });
  });
});
