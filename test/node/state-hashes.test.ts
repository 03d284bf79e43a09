import { describe, expect, it } from 'vitest';
import { StateHashes } from '../../src/node/state-hashes.ts';
import type { Configuration } from '../../src/raft/types.ts';
import { type LogIndex, logIndex, memberId } from '../../src/types/ids.ts';

const [a, b, c] = [memberId('a'), memberId('b'), memberId('c')];
const CONFIGURATION: Configuration = { voters: [a, b, c], votersOutgoing: [], learners: [memberId('d')] };
const at = logIndex(7);

function reports(own: string, others: readonly (readonly [typeof a, string])[], configuration = CONFIGURATION) {
  const hashes = new StateHashes(a);
  let verdict = hashes.report(at, a, own, configuration);
  for (const [member, hash] of others) verdict = hashes.report(at, member, hash, configuration);
  return verdict;
}

describe('R7: replicas compare hashes at the same index while running', () => {
  it('equal ones are fine, and nothing is said before a majority agrees', () => {
    expect(reports('x', [[b, 'x']])).toEqual({ kind: 'equal' });
    expect(reports('x', [[b, 'y']])).toEqual({ kind: 'equal' });
  });

  it('the one that differs from a majority is the odd one out', () => {
    expect(
      reports('x', [
        [b, 'y'],
        [c, 'y'],
      ]),
    ).toEqual({ kind: 'odd', index: at, hash: 'x', majorityHash: 'y' });
    expect(
      reports('x', [
        [b, 'x'],
        [c, 'y'],
      ]),
    ).toEqual({ kind: 'other', index: at, member: c, hash: 'y', majorityHash: 'x' });
  });

  it('a learner does not make a majority, but is found out', () => {
    const d = memberId('d');
    expect(reports('x', [[d, 'y']])).toEqual({ kind: 'equal' });
    expect(
      reports('x', [
        [b, 'x'],
        [d, 'y'],
      ]),
    ).toEqual({ kind: 'other', index: at, member: d, hash: 'y', majorityHash: 'x' });
  });

  it('while the voters change, a majority of the new ones alone does not stop the old ones', () => {
    const [d, e] = [memberId('d'), memberId('e')];
    const joint = { voters: [d], votersOutgoing: [a, b, c], learners: [e] };
    const says = (hash: string, ...members: (typeof a)[]) => members.map((member) => [member, hash] as const);
    expect(reports('x', says('y', d), joint)).toEqual({ kind: 'equal' });
    expect(reports('x', [...says('x', b, c), ...says('y', d)], joint)).toEqual({ kind: 'equal' });
    expect(reports('x', says('y', b, c, d), joint)).toEqual({ kind: 'odd', index: at, hash: 'x', majorityHash: 'y' });
    expect(reports('x', [...says('x', b, d), ...says('y', e)], joint)).toEqual({
      kind: 'other',
      index: at,
      member: e,
      hash: 'y',
      majorityHash: 'x',
    });
  });

  it('the same index is compared again: a member that was started meanwhile is found out, and said to be once for each report', () => {
    const hashes = new StateHashes(a);
    const say = (member: typeof a, hash: string) => hashes.report(at, member, hash, CONFIGURATION).kind;
    expect([say(a, 'x'), say(b, 'x'), say(c, 'x')]).toEqual(['equal', 'equal', 'equal']);
    expect([say(a, 'x'), say(b, 'x'), say(c, 'y')]).toEqual(['equal', 'equal', 'other']);
    // It has stopped; the others go on comparing.
    expect([say(a, 'x'), say(b, 'x')]).toEqual(['equal', 'equal']);
    expect(say(c, 'y')).toBe('other');
    expect([say(c, 'x'), say(b, 'y')]).toEqual(['equal', 'other']);
  });

  it('without a majority that agrees nobody is the odd one', () => {
    expect(
      reports('x', [
        [b, 'y'],
        [c, 'z'],
      ]),
    ).toEqual({ kind: 'equal' });
  });

  it('a hash is due at exactly the index that was asked for, once', () => {
    const hashes = new StateHashes(a);
    hashes.want(logIndex(5));
    hashes.want(logIndex(9));
    expect([4, 5, 5, 9, 9].map((index) => hashes.due(logIndex(index)))).toEqual([false, true, false, true, false]);
  });

  it('what is asked for and kept is bounded', () => {
    const hashes = new StateHashes(a);
    for (let index = 1; index <= 1_000; index += 1) {
      hashes.want(logIndex(index));
      hashes.report(logIndex(index), b, 'x', CONFIGURATION);
    }
    const due = Array.from({ length: 1_000 }, (_, i) => logIndex(i + 1)).filter((index: LogIndex) => hashes.due(index));
    expect(due).toHaveLength(16);
    expect(due[0]).toBe(985);
  });
});
