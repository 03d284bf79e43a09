/** R2: a member ends when it was removed, and only then. */
import { describe, expect, it } from 'vitest';
import { DivergedError } from '../../src/node/diverged.ts';
import { type DutiesOptions, GroupDuties } from '../../src/node/group-duties.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import type { PlacedConfiguration } from '../../src/raft/types.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';

const [A, B, C] = [memberId('a'), memberId('b'), memberId('c')];

function placed(
  index: number,
  voters: readonly (typeof A)[],
  learners: readonly (typeof A)[] = [],
): PlacedConfiguration {
  return { index: logIndex(index), configuration: { voters, votersOutgoing: [], learners } };
}

/** The duties of member c, which waited to be added, on a core that the test plays. */
function setUp() {
  const core = { role: 'follower', configuration: placed(0, []), catchingUp: false };
  let removed = 0;
  const parts = {
    deps: {
      settings: DEFAULT_MEMBER_SETTINGS,
      memberId: C,
      recovering: false,
      onRemoved: () => (removed += 1),
      wal: { spaceLow: false },
    },
    raft: core,
    machine: () => ({ members: () => [] }),
    writer: { noSpace: false },
  };
  const duties = new GroupDuties(parts as unknown as DutiesOptions);
  const change = (to: PlacedConfiguration): void => {
    core.configuration = to;
    duties.effect({ kind: 'configurationChanged', placed: to, committed: true });
  };
  return { core, duties, change, removals: () => removed };
}

describe('R2: a configuration without this member', () => {
  it('ends it, once', () => {
    const { duties, change, removals } = setUp();
    change(placed(5, [A, B], [C]));
    change(placed(9, [A, B]));
    expect(duties.removed).toBe(true);
    change(placed(12, [A]));
    duties.tick(0);
    expect(removals()).toBe(1);
  });

  it('is nothing new to one that waits to be added', () => {
    const { change, removals } = setUp();
    change(placed(9, [A, B]));
    expect(removals()).toBe(0);
  });

  it('that is only history does not: an earlier member of its id was removed, and the entry that adds this one comes later', () => {
    const { core, duties, change, removals } = setUp();
    core.catchingUp = true;
    change(placed(5, [A, B, C]));
    change(placed(9, [A, B]));
    duties.tick(0);
    expect(removals()).toBe(0);
    change(placed(20, [A, B], [C]));
    core.catchingUp = false;
    duties.tick(0);
    expect(removals()).toBe(0);
    expect(duties.removed).toBe(false);
  });

  it('that turns out to be how things are ends it then', () => {
    const { core, duties, change, removals } = setUp();
    core.catchingUp = true;
    change(placed(5, [A, B, C]));
    change(placed(9, [A, B]));
    core.catchingUp = false;
    duties.tick(0);
    expect(removals()).toBe(1);
  });
});

describe('R7: the leader asks for state hashes', () => {
  it('each period, also while the log stands still, and the odd one fails with both hashes', () => {
    const sent: unknown[] = [];
    const fatal: Error[] = [];
    const [own, theirs] = ['1'.repeat(32), '2'.repeat(32)];
    const at = logIndex(7);
    const parts = {
      deps: {
        settings: DEFAULT_MEMBER_SETTINGS,
        memberId: A,
        recovering: false,
        wal: { spaceLow: false, bytesAfter: () => 0 },
        network: { send: (to: string, envelope: object) => sent.push({ to, ...envelope }) },
        peerFeatureLevels: () => new Map(),
        featureLevelMax: 1,
      },
      stream: 1,
      raft: {
        role: 'leader',
        configuration: placed(1, [A, B, C]),
        catchingUp: false,
        lastIndex: at,
        commitIndex: at,
        status: () => ({ peers: [], configuration: placed(1, [A, B, C]).configuration }),
        firstIndex: logIndex(1),
      },
      machine: () => ({
        members: () => [],
        rows: { availability: { size: 0 } },
        nextTimerMs: () => null,
        appliedIndex: at,
        stateHash: () => own,
        featureLevel: () => ({ level: 1, pinned: false }),
      }),
      writer: { noSpace: false, storedIndex: at },
      sender: { opening: true, marks: [] },
      onFatal: (error: Error) => fatal.push(error),
    };
    const duties = new GroupDuties(parts as unknown as DutiesOptions);
    const { dutyPeriodMs } = DEFAULT_MEMBER_SETTINGS;
    for (const period of [1, 2]) {
      sent.length = 0;
      duties.tick(period * dutyPeriodMs);
      duties.tick(period * dutyPeriodMs + 20);
      const ask = { kind: 'stateHash', stream: 1, index: at, hash: null };
      const say = { ...ask, hash: own };
      expect(sent).toEqual([ask, say].flatMap((one) => [B, C].map((to) => ({ to, ...one }))));
    }
    duties.stateHash(B, at, theirs);
    expect(fatal).toEqual([]);
    duties.stateHash(C, at, theirs);
    expect(fatal).toEqual([new DivergedError(at, own, theirs)]);
    expect(fatal[0]?.message).toContain(`after entry 7: its hash is ${own}, theirs is ${theirs}`);
  });
});
