/** R2: a member ends when it was removed, and only then. */
import { describe, expect, it } from 'vitest';
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
