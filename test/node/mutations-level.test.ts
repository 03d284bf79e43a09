import { describe, expect, it } from 'vitest';
import { commandLevel } from '../../src/codec/command-level.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { Mutations } from '../../src/node/mutations.ts';
import { DEFAULT_MEMBER_SETTINGS, type MemberDeps } from '../../src/node/options.ts';
import type { MutationOutcome } from '../../src/node/types.ts';
import { clusterTimeMs, fencingToken, memberId, streamId } from '../../src/types/ids.ts';

const ref = { loop: 'l', g: 1, phase: 'ANALYZE' };
const begin = { kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] } as const;
const report = {
  kind: 'reportProgress',
  ref,
  token: fencingToken(1),
  completed: 0,
  total: 0,
  note: '',
  subSteps: [],
  checkpoint: 'x',
} as const;

const OLD: readonly CommandBody[] = [begin, { ...begin, participants: [] }, report, { ...report, vectorClock: [] }];
const CHANGE: CommandBody = { kind: 'changeMembers', changes: [{ kind: 'remove', member: memberId('c') }] };
const NEW: readonly CommandBody[] = [
  { ...begin, participants: ['x'] },
  { ...report, checkpointCrc: 1 },
  { ...report, vectorClock: [['x', 1]] },
  { ...report, participant: 'x' },
  { kind: 'setPolicy', values: [{ name: 'kMilli', value: 1_200 }] },
  { kind: 'permitAsync', member: memberId('c'), on: true },
];

/** What a leader whose state is at `level` answers at once (null: it waits for the commit), and how much it puts into the log. */
async function answerTo(
  level: number,
  body: CommandBody,
  settled = true,
): Promise<readonly [MutationOutcome | null, number]> {
  let entries = 0;
  let outcome: MutationOutcome | null = null;
  const deps = {
    clock: { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, defer: (run: () => void) => run() },
    random: { below: () => 0 },
    settings: DEFAULT_MEMBER_SETTINGS,
  } as unknown as MemberDeps;
  const mutations = new Mutations({
    deps,
    stream: streamId(1),
    now: () => clusterTimeMs(1),
    featureLevel: () => ({ level, settled }),
    nextProposalId: () => 1,
    propose: (proposals) => {
      entries += proposals.length;
    },
  });
  void mutations.propose({ session: null, caller: 'c', traceId: '', body }, 1_000).then((found) => {
    outcome = found;
  });
  await Promise.resolve();
  await Promise.resolve();
  return [outcome, entries];
}

describe('R9: what older members could not carry out does not get into the log', () => {
  it.each(NEW)('feature level 3: $kind', async (body) => {
    expect(commandLevel(body)).toBe(3);
    const refused = { kind: 'refused', reason: 'FEATURE_LEVEL_TOO_LOW', retryAfterMs: null };
    expect(await answerTo(2, body)).toEqual([expect.objectContaining(refused), 0]);
    expect(await answerTo(3, body)).toEqual([null, 1]);
  });

  it('feature level 2: changes of the members', async () => {
    expect((await answerTo(1, CHANGE))[0]).toMatchObject({ reason: 'FEATURE_LEVEL_TOO_LOW' });
    expect(await answerTo(2, CHANGE)).toEqual([null, 1]);
  });

  it.each(OLD)('$kind without what came later is taken at every level', async (body) => {
    expect(await answerTo(1, body)).toEqual([null, 1]);
  });

  it('a new leader that may not know of the last rise yet asks to come back', async () => {
    const [refused, entries] = await answerTo(2, { ...begin, participants: ['x'] }, false);
    expect(refused).toMatchObject({ kind: 'refused', reason: 'NO_QUORUM', retryAfterMs: expect.any(Number) });
    expect(entries).toBe(0);
  });

  it('the level itself may be set: what the members support was asked before', async () => {
    expect(await answerTo(1, { kind: 'setFeatureLevel', level: 2, pinned: false })).toEqual([null, 1]);
  });
});
