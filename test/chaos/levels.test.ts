/** X4: service levels from histories. */
import { describe, expect, it } from 'vitest';
import { type EffectCall, type LevelsInput, serviceLevels } from '../../jepsen-style/levels.ts';
import type { Op } from '../../jepsen-style/record/history.ts';

const MS = 1e6;

function op(timeMs: number, fields: Partial<Op>): Op {
  const defaults = {
    index: 0,
    process: 0,
    type: 'ok',
    f: 'cas',
    workload: 'register',
    key: 'r0',
    value: null,
  } as const;
  return { ...defaults, ...fields, time: timeMs * MS };
}

/** A write from `fromMs` to `toMs`. */
function write(process: number, fromMs: number, toMs: number, value: unknown, type: Op['type'] = 'ok'): readonly Op[] {
  return [op(fromMs, { process, type: 'invoke', value }), op(toMs, { process, type, value })];
}

function fault(name: string, fromMs: number, toMs: number, facts: Readonly<Record<string, unknown>>): readonly Op[] {
  const both = { process: 'nemesis', type: 'info', workload: 'nemesis', key: null } as const;
  return [
    op(fromMs, { ...both, f: `${name}-start`, value: { beganAtNs: fromMs * MS, ...facts } }),
    op(toMs, { ...both, f: `${name}-stop`, value: {} }),
  ];
}

function levelsOf(input: Partial<LevelsInput>) {
  return serviceLevels({ ops: [], nemesis: [], effects: [], leaders: new Map(), ...input });
}

describe('X4: failover', () => {
  const ops = [...write(0, 900, 1_050, [1, 2]), ...write(0, 1_100, 1_400, [2, 3]), ...write(1, 5_000, 5_200, [3, 4])];

  it('is from the loss of the leader to the end of a write that began after it', () => {
    const nemesis = fault('kill-leader', 1_000, 3_000, { leaderAffected: true, quorum: true });
    expect(levelsOf({ ops, nemesis }).failovers).toEqual([{ nemesis: 'kill-leader', atMs: 1_000, tookMs: 400 }]);
  });

  it('is counted from the end of a fault that left no majority', () => {
    const nemesis = fault('kill-all', 1_000, 3_000, { leaderAffected: true, quorum: false });
    expect(levelsOf({ ops, nemesis }).failovers).toEqual([{ nemesis: 'kill-all', atMs: 3_000, tookMs: 2_200 }]);
  });

  it('is not asked for where the leader was let alone, and missed where no write follows', () => {
    const spared = levelsOf({ ops, nemesis: fault('kill-one', 1_000, 3_000, { leaderAffected: false, quorum: true }) });
    expect(spared).toMatchObject({ failovers: [], failoverMsMax: null, met: true });
    const lost = levelsOf({ ops, nemesis: fault('kill-one', 6_000, 7_000, { leaderAffected: true, quorum: true }) });
    expect(lost.failovers[0]?.tookMs).toBeNull();
    expect(lost.met).toBe(false);
  });

  it('that another fault has disturbed does not count; that of the other one does', () => {
    const taken = { leaderAffected: true, quorum: false, leader: 1, disabled: [0, 1, 2] };
    const again = { leaderAffected: false, quorum: true, leader: null, disabled: [0] };
    const nemesis = [...fault('kill-all', 1_000, 2_000, taken), ...fault('kill-one', 4_000, 4_500, again)];
    const late = write(0, 33_000, 33_500, [1, 2]);
    const levels = levelsOf({ ops: late, nemesis });
    expect(levels.failovers).toEqual([
      { nemesis: 'kill-all', atMs: 2_000, tookMs: 31_500, disturbedBy: 'kill-one' },
      { nemesis: 'kill-one', atMs: 4_000, tookMs: 29_500 },
    ]);
    expect(levels).toMatchObject({ failoverMsMax: 29_500, met: true });
    // With no write at all both are missed.
    expect(levelsOf({ ops: [], nemesis }).met).toBe(false);
  });

  it('that was missed already is not excused by a fault that comes later', () => {
    const nemesis = [
      ...fault('kill-leader', 1_000, 2_000, { leaderAffected: true, quorum: true, leader: 1, disabled: [1] }),
      ...fault('kill-one', 32_000, 33_000, { leaderAffected: false, quorum: true, leader: 2, disabled: [0] }),
    ];
    expect(levelsOf({ ops: write(0, 33_000, 33_500, [1, 2]), nemesis })).toMatchObject({
      failoverMsMax: 32_500,
      met: false,
    });
  });

  it('of who disturbs another one counts, also where there was somebody who said to lead', () => {
    const nemesis = [
      ...fault('kill-leader', 1_000, 2_000, { leaderAffected: true, quorum: true, leader: 1, disabled: [1] }),
      ...fault('kill-one', 3_000, 4_000, { leaderAffected: false, quorum: true, leader: 2, disabled: [0] }),
    ];
    expect(levelsOf({ ops: write(0, 60_000, 60_500, [1, 2]), nemesis })).toMatchObject({
      failoverMsMax: 57_500,
      met: false,
    });
  });

  it('is asked for where a majority was away, and the leader was spared', () => {
    const nemesis = fault('kill-majority', 1_000, 2_000, { leaderAffected: false, quorum: false, leader: 4 });
    expect(levelsOf({ ops: write(0, 3_000, 3_500, [1, 2]), nemesis }).failovers).toEqual([
      { nemesis: 'kill-majority', atMs: 2_000, tookMs: 1_500 },
    ]);
  });

  it('counts no write that did not end well, and no more than 30 s', () => {
    const late = [...write(0, 1_100, 1_200, [1, 2], 'info'), ...write(1, 31_000, 31_500, [2, 3])];
    const nemesis = fault('pause-leader', 1_000, 9_000, { leaderAffected: true, quorum: true });
    expect(levelsOf({ ops: late, nemesis })).toMatchObject({ failoverMsMax: 30_500, met: false });
  });
});

describe('X4: two leaders, effects twice', () => {
  it('sees two writes that both followed the same state', () => {
    const ops = [...write(0, 1, 2, [7, 8]), ...write(1, 3, 4, [7, 9])];
    const levels = levelsOf({ ops });
    expect(levels.acceptedByTwo).toEqual(['register r0 cas 7: [7,8] and [7,9]']);
    expect(levels.met).toBe(false);
    expect(levelsOf({ ops: [...write(0, 1, 2, [7, 8]), ...write(1, 3, 4, [8, 9])] }).met).toBe(true);
  });

  it('sees a token that was given twice, and two leaders of one term', () => {
    const ops = [1, 2].map((time) =>
      op(time, { f: 'acquire', workload: 'fencing', key: 'lock-0', value: { token: 5 } }),
    );
    const leaders = new Map([[4, new Set(['m1', 'm0'])]]);
    const { acceptedByTwo } = levelsOf({ ops, leaders });
    expect(acceptedByTwo).toHaveLength(2);
    expect(acceptedByTwo[0]).toBe('term 4 had the leaders m0, m1');
  });

  it('counts what had effect, not what was asked for again', () => {
    const call = (key: string, accepted: boolean): EffectCall => ({
      time: 1,
      key,
      token: 1,
      attempt: 1,
      accepted,
      kind: 'do',
    });
    expect(levelsOf({ effects: [call('a', true), call('a', false), call('b', true)] }).met).toBe(true);
    expect(levelsOf({ effects: [call('a', true), call('a', true)] }).effectsTwice).toEqual(['do a: 2 times']);
  });
});
