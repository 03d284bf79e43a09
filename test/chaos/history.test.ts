/** X2: what is written down of a run, and how a call that failed is. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Actor, History, type Op, RunClock } from '../../jepsen-style/record/history.ts';
import { mutationFailure, readFailure } from '../../jepsen-style/record/outcome.ts';
import { readOps } from '../../jepsen-style/record/read.ts';
import { contradiction } from '../../jepsen-style/workloads/sessions.ts';
import { IndeterminateError, QuorateError } from '../../src/client/client.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-history-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('X2: a history', () => {
  it('has a line for each beginning and each end, in the order of their times', async () => {
    const seen: { readonly op: Op; readonly latencyMs: number | null }[] = [];
    const history = new History(dir, 'register', new RunClock(), (op, latencyMs) => seen.push({ op, latencyMs }));
    const write = history.invoke(0, 'cas', 'r0', [null, 1]);
    const read = history.invoke(1, 'read', 'r0', null);
    history.end(read, 'ok', 1);
    history.end(write, 'info', undefined, 'INDETERMINATE');
    history.note('watcher', 'ok', 'event', null, { revision: 3 });
    await history.close();
    const ops = readOps(join(dir, 'history-register.ndjson'));
    expect(
      ops.map(({ index, process, type, f, key, value, error }) => [index, process, type, f, key, value, error]),
    ).toEqual([
      [0, 0, 'invoke', 'cas', 'r0', [null, 1], undefined],
      [1, 1, 'invoke', 'read', 'r0', null, undefined],
      [2, 1, 'ok', 'read', 'r0', 1, undefined],
      [3, 0, 'info', 'cas', 'r0', [null, 1], 'INDETERMINATE'],
      [4, 'watcher', 'ok', 'event', null, { revision: 3 }, undefined],
    ]);
    expect(ops.every(({ workload }) => workload === 'register')).toBe(true);
    const times = ops.map(({ time }) => time);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.every(Number.isSafeInteger)).toBe(true);
    expect(seen.map(({ latencyMs }) => latencyMs !== null)).toEqual([false, false, true, true, false]);
    expect((await readFile(join(dir, 'history-register.ndjson'), 'utf8')).endsWith('}\n')).toBe(true);
  });

  it('has nothing where there is no file', () => {
    expect(readOps(join(dir, 'history-none.ndjson'))).toEqual([]);
  });
});

describe('X2: a process', () => {
  it('gets a number that nobody had after an unknown outcome', () => {
    const actors = [0, 1, 2].map((thread) => new Actor(thread, 3));
    const numbers = new Set(actors.map(({ process }) => process));
    for (let round = 0; round < 5; round += 1) {
      for (const actor of actors) {
        actor.renumber();
        expect(numbers.has(actor.process)).toBe(false);
        numbers.add(actor.process);
      }
    }
    expect(actors.map(({ thread }) => thread)).toEqual([0, 1, 2]);
  });
});

describe('X2: a call that failed', () => {
  it('failed for certain only where the client promises that nothing was done', () => {
    const refused = new QuorateError({ reason: 'VERSION_MISMATCH', message: 'somebody was faster' });
    expect(mutationFailure(refused)).toEqual({ type: 'fail', error: 'VERSION_MISMATCH' });
    expect(mutationFailure(new IndeterminateError('no answer came', null))).toEqual({
      type: 'info',
      error: 'INDETERMINATE',
    });
    const unreachable = new QuorateError({ reason: 'UNAVAILABLE', message: 'nobody answers' });
    expect(mutationFailure(unreachable).type).toBe('info');
    expect(mutationFailure(new TypeError('a bug')).type).toBe('info');
    expect(readFailure(unreachable)).toEqual({ type: 'fail', error: 'UNAVAILABLE' });
  });
});

describe('R6: answers to one request of a session', () => {
  const answer = (version: number) => ({ version, replayed: false });
  const error = (reason: string) => ({ error: reason });

  it('are the same, or tell of a second execution', () => {
    expect(contradiction([answer(3), answer(3), error('NO_QUORUM')])).toBeNull();
    expect(contradiction([answer(3), answer(4)])).toMatch(/versions 3 and 4/);
    expect(contradiction([answer(3), error('VERSION_MISMATCH')])).toMatch(/a second time/);
    expect(contradiction([error('VERSION_MISMATCH')])).toMatch(/a second time/);
  });
});
