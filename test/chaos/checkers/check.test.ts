/** A whole folder: which checkers look at it, and what they say of what cannot be read. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { check } from '../../../jepsen-style/checkers/check.ts';
import { isEvidence } from '../../../jepsen-style/checkers/verdict.ts';
import { writeSyntheticRun } from './synthetic-run.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-check-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const lines = (file: string, ...all: readonly (object | string)[]): void => {
  const texts = all.map((one) => (typeof one === 'string' ? one : `${JSON.stringify(one)}\n`));
  writeFileSync(join(dir, file), texts.join(''));
};
const event = (index: number, type: string, f: string, value: unknown, more: object = {}): object => ({
  ...{ index, time: index, process: 0, type, f, workload: 'w', key: 'k', value },
  ...more,
});
const said = async (): Promise<Record<string, unknown>> =>
  Object.fromEntries((await check(dir)).map(({ checker, workload, valid }) => [`${checker} of ${workload}`, valid]));

describe('a folder', () => {
  it('of a good run is good, and what had nothing to check is unknown', async () => {
    writeSyntheticRun(dir, { seconds: 10, faults: 2, spoiled: false });
    expect(await said()).toEqual({
      'append of append': 'unknown',
      'fencing of fencing': true,
      'linearizability of register': true,
      'set of set': true,
    });
  });

  it('of a bad run has a verdict and drawable evidence for each violation', async () => {
    writeSyntheticRun(dir, { seconds: 10, faults: 2, spoiled: true });
    const bad = (await check(dir)).filter(({ valid }) => valid === false);
    expect(bad.map(({ workload }) => workload)).toEqual(['fencing', 'register', 'set']);
    for (const { evidence } of bad) {
      expect(isEvidence(evidence) && evidence.operations.length).toBeGreaterThan(1);
      expect(isEvidence(evidence) && evidence.stuck.length).toBe(1);
    }
  });

  it('without histories has no verdict', async () => {
    expect(await check(dir)).toEqual([]);
  });

  it('with a history of an unknown workload says so', async () => {
    lines('history-queue.ndjson', event(0, 'invoke', 'push', 1));
    expect(await said()).toEqual({ 'none of queue': 'unknown' });
  });

  it('has effects checked against what the server saw', async () => {
    const record = { time: 1, key: 'k', token: 1, attempt: 1, accepted: true, kind: 'do' };
    lines('history-effects.ndjson', event(0, 'invoke', 'effect', {}), event(1, 'ok', 'effect', {}));
    lines('effects-server.ndjson', record);
    expect(await said()).toEqual({ 'exactly-once of effects': true });
    lines('effects-server.ndjson', record, { ...record, time: 2 });
    expect(await said()).toEqual({ 'exactly-once of effects': false });
    rmSync(join(dir, 'effects-server.ndjson'));
    expect(await said()).toEqual({ 'exactly-once of effects': 'unknown' });
    rmSync(join(dir, 'history-effects.ndjson'));
    lines('effects-server.ndjson', record, { ...record, time: 2 });
    expect(await said()).toEqual({ 'exactly-once of effects': false });
  });

  it('has watches and phases checked with what observers reported without a call', async () => {
    const seen = (index: number, revision: number): object =>
      event(index, 'ok', 'event', { revision, ordinal: 0, kind: 'k' }, { process: 'watcher-0' });
    lines('history-watch.ndjson', seen(0, 2), seen(1, 1));
    const value = { loop: 'k', g: 1, phase: 'B', attempt: 1, token: 1 };
    lines(
      'history-phase.ndjson',
      event(0, 'info', 'plan', ['A', 'B'], { process: 'setup' }),
      event(1, 'invoke', 'begin', value),
      event(2, 'ok', 'begin', value),
    );
    expect(await said()).toEqual({ 'barrier of phase': false, 'watch of watch': false });
  });
});

describe('a history that cannot be read', () => {
  const written = [event(0, 'invoke', 'write', 'a'), event(1, 'ok', 'write', 'a')];
  const detail = async (): Promise<string> => `${(await check(dir))[0]?.valid}: ${(await check(dir))[0]?.detail}`;

  it('is unknown, with the reason', async () => {
    lines('history-register.ndjson', ...written, 'no json\n', event(2, 'invoke', 'read', null));
    expect(await detail()).toBe('unknown: the history cannot be read: line 3 is not JSON');
    lines('history-register.ndjson', ...written, event(2, 'ok', 'read', null));
    expect(await detail()).toContain('index 2: process 0 ends what it did not call');
    lines('history-register.ndjson', event(0, 'invoke', 'write', 'a'), event(1, 'invoke', 'write', 'b'));
    expect(await detail()).toContain('calls while it waits');
    lines('history-register.ndjson', event(1, 'invoke', 'write', 'a'), event(0, 'ok', 'write', 'a'));
    expect(await detail()).toContain('index 0 comes after index 1');
    lines('history-register.ndjson', { index: 0, type: 'maybe' });
    expect(await detail()).toContain('no event of a history');
    lines('history-register.ndjson', event(0, 'invoke', 'push', 'a'));
    expect(await detail()).toContain('index 0: push');
  });

  it('but for a last line that was cut off, which is left out', async () => {
    lines('history-register.ndjson', ...written, '{"index":2,"ti');
    expect(await detail()).toContain('true');
  });
});
