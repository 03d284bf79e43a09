import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { majority, quorumIndex, voteResult } from '../../src/raft/quorum.ts';
import type { Configuration } from '../../src/raft/types.ts';
import type { MemberId } from '../../src/types/ids.ts';

const ids = (text: string): MemberId[] => [...text] as MemberId[];
const config = (voters: string, outgoing = '', learners = ''): Configuration => ({
  voters: ids(voters),
  votersOutgoing: ids(outgoing),
  learners: ids(learners),
});
/** `a5 b3` → a: 5, b: 3. */
const table = (text: string): Map<string, number> =>
  new Map(text.split(' ').map((word) => [word.slice(0, 1), Number(word.slice(1))]));

describe('quorum', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [6, 4],
    [7, 4],
  ])('a majority of %i is %i', (count, expected) => {
    expect(majority(count)).toBe(expected);
  });

  it.each([
    ['a', '', 'a7', 7],
    ['ab', '', 'a7 b3', 3],
    ['abc', '', 'a7 b3 c5', 5],
    ['abc', '', 'a7 b0 c0', 0],
    // Even counts: the lower middle, never the upper (known bug R2).
    ['abcd', '', 'a9 b8 c2 d1', 2],
    ['abcd', '', 'a9 b9 c9 d1', 9],
    ['abcde', '', 'a5 b4 c3 d2 e1', 3],
    ['abcdef', '', 'a6 b5 c4 d3 e2 f1', 3],
    // Joint: a majority of each half, not of the union (known bug C7).
    ['abc', 'cde', 'a9 b9 c1 d1 e1', 1],
    ['abc', 'cde', 'a9 b9 c9 d9 e0', 9],
    ['ab', 'cde', 'a9 b2 c9 d9 e9', 2],
    ['abc', 'abc', 'a3 b2 c1', 2],
    // Learners do not count (known bug C9).
    ['abc', '', 'a9 b1 c1 x9 y9', 1],
  ])('voters %s, outgoing %s: %s are committed up to %i', (voters, outgoing, matches, expected) => {
    const match = table(matches);
    expect(quorumIndex(config(voters, outgoing, 'xy'), (id) => match.get(id) ?? 0)).toBe(expected);
  });

  it.each([
    ['a', '', 'a', '', 'won'],
    ['abc', '', 'a', '', 'pending'],
    ['abc', '', 'ab', '', 'won'],
    ['abc', '', 'ab', 'c', 'won'],
    ['abc', '', 'a', 'bc', 'lost'],
    ['abcd', '', 'ab', '', 'pending'],
    ['abcd', '', 'ab', 'cd', 'lost'],
    ['abcd', '', 'abc', '', 'won'],
    ['abc', 'cde', 'abc', '', 'pending'],
    ['abc', 'cde', 'abcd', '', 'won'],
    ['abc', 'cde', 'abc', 'de', 'lost'],
    ['abc', 'cde', 'cde', 'ab', 'lost'],
    ['abc', '', 'axyz', '', 'pending'],
  ])('voters %s, outgoing %s, granted by %s, refused by %s: %s', (voters, outgoing, yes, no, expected) => {
    const vote = (id: MemberId): boolean | undefined => (yes.includes(id) ? true : no.includes(id) ? false : undefined);
    expect(voteResult(config(voters, outgoing), vote)).toBe(expected);
  });

  it('agrees with counting, for every configuration and every table of matches', () => {
    const members = fc.uniqueArray(fc.constantFrom(...'abcdefg'), { minLength: 1, maxLength: 7 });
    const outgoing = fc.uniqueArray(fc.constantFrom(...'abcdefg'), { maxLength: 7 });
    const matches = fc.array(fc.nat(5), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(members, outgoing, matches, (voters, old, match) => {
        const of = (id: string): number => match['abcdefg'.indexOf(id)] ?? 0;
        const holds = (half: readonly string[], index: number): boolean =>
          half.length === 0 || half.filter((id) => of(id) >= index).length * 2 > half.length;
        const index = quorumIndex(config(voters.join(''), old.join('')), of);
        expect(holds(voters, index) && holds(old, index)).toBe(true);
        expect(holds(voters, index + 1) && holds(old, index + 1)).toBe(false);
      }),
    );
  });
});
