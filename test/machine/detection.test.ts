import { describe, expect, it } from 'vitest';
import { POLICY_NAMES } from '../../src/machine/detection/policy.ts';
import { type InterruptCause, POLICY } from '../../src/machine/detection/types.ts';
import {
  agentOf,
  agentsPage,
  dueDeadlines,
  durationsOf,
  estimateOf,
  nextDeadlineMs,
  policyIn,
  policyOfView,
  runningOf,
  watchOf,
} from '../../src/machine/detection/view.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { abortBody, at, Bench, beginBody, commitBody, ref, token } from './kit.ts';
import { Ward } from './recovery-kit.ts';

const kinds = (ward: Ward, atMs = Number.MAX_SAFE_INTEGER - 1): string[] =>
  dueDeadlines(ward.machine, atMs, 10).map(({ kind }) => kind);
const finished = (ward: Ward, participant: string, fence = ward.run().token as number): CommandBody => ({
  kind: 'reportFinished',
  ref: ref('A'),
  token: token(fence),
  participant,
});
const mark = (agent: string, healthy: boolean, seenAtMs = 1_000_000): CommandBody => ({
  kind: 'markAgent',
  agent,
  healthy,
  left: false,
  seenAtMs: at(seenAtMs),
});
/** k × P95 with the prior of 1,000 ms alone: 1.6 × (1000 + 1.6448536 × 500). */
const FIRST_TIMEOUT_MS = 2_916;

describe('D1: deadlines', () => {
  it('an attempt has its timeout from the begin on, and loses it with every end', () => {
    const ends: readonly ((ward: Ward, fence: number) => unknown)[] = [
      (ward, fence) => ward.done('phaseCommitted', commitBody('A', fence)),
      (ward, fence) => ward.done('phaseAborted', abortBody('A', fence, false)),
      (ward, fence) => ward.done('phaseAborted', abortBody('A', fence, true)),
      (ward) => ward.interrupt(),
    ];
    for (const end of ends) {
      const ward = new Ward();
      const { token: fence } = ward.begin('A');
      expect(nextDeadlineMs(ward.machine)).toBe(ward.timeMs + FIRST_TIMEOUT_MS);
      expect(watchOf(ward.machine, 'loop', 1, 'A')?.timeoutMs).toBe(FIRST_TIMEOUT_MS);
      expect(dueDeadlines(ward.machine, ward.timeMs + FIRST_TIMEOUT_MS - 1, 9)).toEqual([]);
      expect(kinds(ward, ward.timeMs + FIRST_TIMEOUT_MS)).toEqual(['TIMEOUT']);
      expect(runningOf(ward.machine, 'agent', null, 9).rows).toHaveLength(1);
      end(ward, fence);
      expect(nextDeadlineMs(ward.machine)).toBeNull();
      expect(ward.machine.rows.deadlineOf.size + ward.machine.rows.attemptRunning.size).toBe(0);
    }
  });

  it('another attempt has another: the deadlines name it', () => {
    const ward = new Ward();
    ward.begin('A');
    ward.timeMs += 100;
    ward.begin('A', { supersede: 1, caller: 'other' });
    expect(dueDeadlines(ward.machine, ward.timeMs + FIRST_TIMEOUT_MS, 9)).toMatchObject([
      { kind: 'TIMEOUT', attempt: 2 },
    ]);
    expect(runningOf(ward.machine, 'agent', null, 9).rows).toEqual([]);
    expect(runningOf(ward.machine, 'other', null, 9).rows).toHaveLength(1);
  });

  it('is interrupted at the deadline, not a millisecond earlier', () => {
    const ward = new Ward();
    ward.begin('A');
    ward.timeMs += FIRST_TIMEOUT_MS - 1;
    expect(ward.rejected(ward.interruptBody('TIMEOUT')).reason).toBe('PHASE_RUNNING');
    ward.timeMs += 1;
    expect(ward.interrupt('TIMEOUT')).toMatchObject({
      cause: 'TIMEOUT',
      state: 'INTERRUPTED',
      faultAtMs: ward.timeMs - 5,
    });
  });

  it('the SLA runs from the last progress', () => {
    const ward = new Ward();
    const phases = [{ name: 'A', priorMs: 100_000, slaMs: 500 }];
    ward.done('planRegistered', { kind: 'registerPlan', plan: 'sla', phases });
    ward.createLoop('l', 'sla');
    const begun = ward.begin('A', { loop: 'l' });
    const body: CommandBody = { ...ward.interruptBody('SLA'), attempt: 1, ref: ref('A', 1, 'l') } as CommandBody;
    ward.timeMs += 499;
    const report = {
      kind: 'reportProgress',
      ref: ref('A', 1, 'l'),
      token: begun.token,
      completed: 0,
      total: 0,
    } as const;
    ward.done('progressReported', { ...report, note: '', subSteps: [], checkpoint: null });
    ward.timeMs += 499;
    expect(kinds(ward, ward.timeMs)).toEqual([]);
    expect(ward.rejected(body).reason).toBe('PHASE_RUNNING');
    ward.timeMs += 1;
    expect(kinds(ward, ward.timeMs)).toEqual(['SLA']);
    ward.done('phaseInterrupted', body);
    expect(ward.machine.rows.deadline.size).toBe(0);
  });

  it('an attempt that began before level 3 is watched from its next report on', () => {
    const bench = new Bench();
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: false });
    bench.registerPlan('p', 'A');
    bench.createLoop('loop', 'p');
    const { token: fence } = bench.begin('A');
    expect(bench.machine.rows.watch.size).toBe(0);
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    const report = { kind: 'reportProgress', ref: ref('A'), token: fence, completed: 0, total: 0 } as const;
    bench.done('progressReported', { ...report, note: '', subSteps: [], checkpoint: null });
    expect(nextDeadlineMs(bench.machine)).toBe(bench.timeMs + FIRST_TIMEOUT_MS);
    bench.done('phaseCommitted', commitBody('A', fence));
    expect(nextDeadlineMs(bench.machine)).toBeNull();
  });

  it('one that has never reported can be interrupted all the same', () => {
    const bench = new Bench();
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: false });
    bench.createLoop();
    bench.begin('ANALYZE');
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    const how = { cause: 'OPERATOR' as InterruptCause, detail: '', faultAtMs: at(0) };
    const body: CommandBody = { kind: 'interruptPhase', ref: ref('ANALYZE'), attempt: 1, ...how };
    expect(bench.done('phaseInterrupted', body).waiting).toBe(false);
  });
});

describe('D2: durations', () => {
  it('clean exits are remembered by plan and phase, the newest hundred; others are not', () => {
    const ward = new Ward({}, ['A']);
    for (let g = 1; g <= 103; g++) {
      const { token: fence } = ward.begin('A', { g });
      ward.timeMs += g;
      ward.commit('A', fence, g);
    }
    expect(durationsOf(ward.machine, 'p', 'A')).toEqual(Array.from({ length: 100 }, (_, i) => i + 4));
    const { token: fence } = ward.begin('A', { g: 104 });
    ward.timeMs += 9_999;
    ward.done('phaseAborted', abortBody('A', fence, false, 104));
    expect(durationsOf(ward.machine, 'p', 'A')).not.toContain(9_999);
    const { timeoutMs, meanMs } = estimateOf(ward.machine, 'p', { name: 'A', priorMs: 1_000, slaMs: 0 });
    expect(meanMs).toBe(53.5);
    ward.begin('A', { g: 104 });
    expect(watchOf(ward.machine, 'loop', 104, 'A')?.timeoutMs).toBe(timeoutMs);
  });

  it('k is a setting', () => {
    const ward = new Ward();
    ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'kMilli', value: 1_200 }] });
    ward.begin('A');
    expect(watchOf(ward.machine, 'loop', 1, 'A')?.timeoutMs).toBe(Math.ceil(1.2 * (1_000 + 1.6448536 * 500)));
  });
});

describe('D4: participants', () => {
  it('some are finished and others are not: a deadline runs from the first to the last', () => {
    const ward = new Ward();
    ward.done('phaseBegun', { ...beginBody('A'), participants: ['y', 'x', 'z'] });
    expect(watchOf(ward.machine, 'loop', 1, 'A')?.participants).toEqual(['x', 'y', 'z']);
    expect(ward.done('finishedReported', finished(ward, 'y'))).toMatchObject({ finished: 1, participants: 3 });
    const dueMs = ward.timeMs + POLICY.consensusMs.normal;
    ward.timeMs += 10;
    expect(ward.done('finishedReported', finished(ward, 'y')).finished).toBe(1);
    expect(ward.done('finishedReported', finished(ward, 'x')).finished).toBe(2);
    expect(dueDeadlines(ward.machine, dueMs, 9).map(({ kind, dueMs: due }) => [kind, due])).toContainEqual([
      'PARTIAL_COMMIT',
      dueMs,
    ]);
    expect(ward.rejected(ward.interruptBody('PARTIAL_COMMIT')).reason).toBe('PHASE_RUNNING');
    expect(ward.done('finishedReported', finished(ward, 'z')).finished).toBe(3);
    expect(kinds(ward)).toEqual(['TIMEOUT']);
  });

  it('refuses strangers, stale tokens and bad names', () => {
    const ward = new Ward();
    const many = Array.from({ length: 65 }, (_, i) => `p${i}`);
    for (const participants of [['x', 'x'], [''], many]) {
      expect(ward.rejected({ ...beginBody('A'), participants }).reason).toBe('INVALID_ARGUMENT');
    }
    ward.done('phaseBegun', { ...beginBody('A'), participants: ['x'] });
    expect(ward.rejected(finished(ward, 'stranger')).reason).toBe('PARTICIPANT_UNKNOWN');
    expect(ward.rejected(finished(ward, '')).reason).toBe('INVALID_ARGUMENT');
    expect(ward.rejected(finished(ward, 'x', 1)).reason).toBe('STALE_FENCE');
    expect(ward.rejected(finished(ward, 'x', 0)).reason).toBe('INVALID_ARGUMENT');
    expect(new Bench().rejected(finished(ward, 'x')).reason).toBe('FEATURE_LEVEL_TOO_LOW');
    const old = new Bench();
    old.createLoop();
    expect(old.rejected({ ...beginBody('ANALYZE'), participants: ['x'] }).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });
});

describe('D3: agents', () => {
  it('the first beat, silence and return: events, an issue, an alert', () => {
    const ward = new Ward();
    ward.done('agentMarked', mark('ü 1', true));
    ward.timeMs += 70_000;
    ward.done('agentMarked', mark('ü 1', false));
    const down = agentOf(ward.machine, 'ü 1');
    expect(down).toMatchObject({ healthy: false, seenAtMs: 1_000_000, changedAtMs: ward.timeMs });
    ward.done('agentMarked', mark('ü 1', false));
    expect(ward.machine.rows.issue.size).toBe(1);
    ward.done('agentMarked', mark('ü 1', true, ward.timeMs + 5));
    expect(agentOf(ward.machine, 'ü 1')).toMatchObject({ healthy: true, seenAtMs: ward.timeMs, issue: 0 });
    const said = ward.events.map(({ kind }) => kind).filter((kind) => /^(agent|issue|alert)/.test(kind));
    expect(said).toEqual(['agent.up', 'issue.opened', 'alert.raised', 'agent.down', 'agent.up']);
    const [issue] = ward.machine.rows.issue.range('', '~', 9).map(([, row]) => row);
    expect(issue).toMatchObject({ kind: 'AGENT_DOWN', state: 'CLOSED', seen: ['ü 1 was not heard of for 70000 ms'] });
  });

  it('is bounded, paged, and refuses what is no agent', () => {
    const ward = new Ward({ agentsMax: 2 });
    for (const agent of ['b', 'ä']) ward.done('agentMarked', mark(agent, true));
    expect(ward.rejected(mark('c', true))).toMatchObject({ reason: 'LIMIT_EXCEEDED', details: { limit: '2' } });
    ward.done('agentMarked', mark('b', false));
    const page = agentsPage(ward.machine, null, 1);
    expect(page).toMatchObject({ rows: [{ agent: 'b' }], next: 'b' });
    expect(agentsPage(ward.machine, page.next, 5)).toMatchObject({ rows: [{ agent: 'ä' }], next: null });
    expect(ward.rejected(mark('', true)).reason).toBe('INVALID_ARGUMENT');
    expect(ward.rejected(mark('b', true, -1)).reason).toBe('INVALID_ARGUMENT');
    expect(new Bench().rejected(mark('b', true)).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });

  it("finds an agent's runs by its exact name", () => {
    const ward = new Ward();
    for (const [loop, caller] of [
      ['x', 'a'],
      ['y', 'a loop'],
      ['z', 'a'],
    ] as const) {
      ward.createLoop(loop, 'p');
      ward.begin('A', { loop, caller });
    }
    const first = runningOf(ward.machine, 'a', null, 1);
    expect(first.rows[0]).toMatch(/^x /);
    expect(runningOf(ward.machine, 'a', first.next, 9)).toMatchObject({
      rows: [expect.stringMatching(/^z /)],
      next: null,
    });
    expect(runningOf(ward.machine, 'a loop', null, 9).rows).toHaveLength(1);
  });
});

describe('the policy', () => {
  const set = (values: readonly { name: string; value: number }[]): CommandBody =>
    ({ kind: 'setPolicy', values }) as CommandBody;

  it.each(POLICY_NAMES)('%s: set within its range only', (name) => {
    const { normal, min, max } = POLICY[name];
    expect(min <= normal && normal <= max).toBe(true);
    const ward = new Ward();
    expect(policyIn(ward.machine, name)).toBe(normal);
    for (const value of [min - 1, max + 1, min + 0.5, Number.NaN]) {
      expect(ward.rejected(set([{ name, value }])).reason).toBe('INVALID_ARGUMENT');
    }
    for (const value of [min, max]) {
      ward.done('policySet', set([{ name, value }]));
      expect(policyOfView(ward.machine)[name]).toBe(value);
    }
  });

  it('all or none; nothing twice, nothing unknown, something at least', () => {
    const ward = new Ward();
    const good = { name: 'kMilli', value: 2_000 };
    for (const values of [
      [],
      [good, good],
      [good, { name: 'toString', value: 1 }],
      [good, { name: 'heartbeatMs', value: 0 }],
    ]) {
      expect(ward.rejected(set(values)).reason).toBe('INVALID_ARGUMENT');
    }
    expect(policyIn(ward.machine, 'kMilli')).toBe(1_600);
    expect(new Bench().rejected(set([good])).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });
});
