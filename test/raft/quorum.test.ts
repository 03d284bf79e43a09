import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { electionResult, majority, quorumIndex, type Vote, voteResult } from '../../src/raft/quorum.ts';
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

describe('W4: an election in which members vote that lost a part of their log', () => {
  it.each([
    ['ab', '', 'a', 'b', '', 'won'],
    ['ab', '', '', 'ab', '', 'lost'],
    ['ab', '', 'a', '', 'b', 'lost'],
    ['abc', '', 'a', 'bc', '', 'lost'],
    ['abc', '', 'a', 'b', '', 'pending'],
    ['abc', '', 'ab', 'c', '', 'won'],
    ['abcd', '', 'ab', 'c', '', 'won'],
    ['abcd', '', 'ab', '', 'd', 'pending'],
    ['abcd', '', 'a', 'bcd', '', 'lost'],
    // The way into a configuration of which one of two has lost its log.
    ['ac', 'abc', 'ab', 'c', '', 'won'],
    ['ac', 'abc', 'ab', '', 'c', 'lost'],
    ['c', 'abc', 'ab', 'c', '', 'lost'],
  ])(
    'voters %s, outgoing %s, granted by %s, blank by %s, refused by %s: %s',
    (voters, outgoing, yes, blank, no, expected) => {
      const vote = (id: MemberId): Vote | undefined => {
        if (yes.includes(id)) return 'granted';
        return blank.includes(id) ? 'blank' : no.includes(id) ? 'refused' : undefined;
      };
      expect(electionResult(config(voters, outgoing), vote)).toBe(expected);
    },
  );

  it('is won when the votes are a majority and no majority is without one that has its whole log', () => {
    const all = ids('abcdefg');
    for (let count = 1; count <= all.length; count++) {
      const voters = all.slice(0, count);
      const subsets = Array.from({ length: 2 ** count }, (_, bits) => voters.filter((__, at) => (bits >> at) & 1));
      const majorities = subsets.filter((some) => 2 * some.length > count);
      for (const granted of subsets) {
        const rest = voters.filter((id) => !granted.includes(id));
        for (let blank = 0; blank <= rest.length; blank++) {
          const given = [...granted, ...rest.slice(0, blank)];
          const seen = majorities.every((some) => some.some((id) => granted.includes(id)));
          const vote = (id: MemberId): Vote =>
            granted.includes(id) ? 'granted' : given.includes(id) ? 'blank' : 'refused';
          const expected = seen && 2 * given.length > count ? 'won' : 'lost';
          expect(electionResult(config(voters.join('')), vote)).toBe(expected);
        }
      }
    }
  });
});
