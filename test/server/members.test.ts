import { describe, expect, it } from 'vitest';
import { agreedVoters, membersDigest } from '../../src/server/members.ts';
import { DATA_STREAM, logIndex, memberId, term } from '../../src/types/ids.ts';
import type { RecoveredStream } from '../../src/wal/types.ts';

const ids = (...names: string[]) => names.map((name) => memberId(name));

function stream(voters: readonly string[], last = 7): RecoveredStream {
  return {
    stream: DATA_STREAM,
    hardState: { term: term(last === 0 ? 0 : 2), votedFor: null },
    configuration: { voters: ids(...voters), votersOutgoing: [], learners: [] },
    firstIndex: logIndex(1),
    lastIndex: logIndex(last),
    spans: [],
  };
}

describe('the digest of a list of members', () => {
  it('is that of the set', () => {
    expect(membersDigest(ids('a', 'b', 'c'))).toMatch(/^[0-9a-f]{64}$/);
    expect(membersDigest(ids('c', 'a', 'b'))).toBe(membersDigest(ids('a', 'b', 'c')));
    const sets = [ids('a'), ids('a', 'b'), ids('ab'), ids('a', 'b', 'c'), ids('a', 'bc'), ids('a-b')];
    expect(new Set(sets.map(membersDigest)).size).toBe(sets.length);
  });
});

describe('the voters that a member works with', () => {
  it('are those of the settings when its log is new', () => {
    expect(agreedVoters(ids('c', 'a', 'b'), [], '/data', true)).toEqual(['a', 'b', 'c']);
  });

  it('are those of the log, in whatever order the settings have them', () => {
    expect(agreedVoters(ids('c', 'a', 'b'), [stream(['a', 'b', 'c'])], '/data', false)).toEqual(['a', 'b', 'c']);
  });

  it.each([
    [['a', 'b', 'c'], ['a']],
    [
      ['a', 'b'],
      ['a', 'b', 'c'],
    ],
    [
      ['a', 'b', 'd'],
      ['a', 'b', 'c'],
    ],
  ])('are refused when the settings say %j and the log %j', (configured, logged) => {
    const call = (last: number, unknown: boolean) => () =>
      agreedVoters(ids(...configured), [stream(logged, last)], '/data', unknown);
    const both = `lists ${configured.join(', ')}, but the log in /data was started with ${logged.join(', ')}`;
    expect(call(7, false)).toThrow(both);
    expect(call(7, false)).toThrow('cannot change the members of a cluster: list the same ones as before');
    // To start anew is advised only to whom nobody knows and who knows nothing.
    expect(call(7, true)).not.toThrow('move the folder away');
    expect(call(0, false)).not.toThrow('move the folder away');
    expect(call(0, true)).toThrow('move the folder away to start it anew');
  });
});
