import { describe, expect, it } from 'vitest';
import type { PlacedConfiguration } from '../../src/raft/types.ts';
import {
  firstConfiguration,
  firstDigest,
  knownConfiguration,
  membersDigest,
  strangersListed,
} from '../../src/server/members.ts';
import { DATA_STREAM, logIndex, memberId, term } from '../../src/types/ids.ts';
import type { RecoveredStream } from '../../src/wal/types.ts';

const ids = (...names: string[]) => names.map((name) => memberId(name));

function placed(index: number, ...voters: string[]): PlacedConfiguration {
  return { index: logIndex(index), configuration: { voters: ids(...voters), votersOutgoing: [], learners: [] } };
}

function stream(configurations: readonly PlacedConfiguration[], last = 7): RecoveredStream {
  return {
    stream: DATA_STREAM,
    hardState: { term: term(last === 0 ? 0 : 2), votedFor: null },
    configurations,
    baseTerm: term(0),
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
    expect(membersDigest([])).toBe('');
  });

  it('R2: is that of the first list, for as long as the log says it', () => {
    const first = firstConfiguration(ids('x'), false);
    expect(firstDigest(undefined, first)).toBe(membersDigest(ids('x')));
    const changed = stream([placed(0, 'a', 'b', 'c'), placed(5, 'a', 'b')]);
    expect(firstDigest(changed, first)).toBe(membersDigest(ids('a', 'b', 'c')));
    expect(firstDigest(stream([placed(5, 'a', 'b')]), first)).toBeNull();
    // One that joined was started with nobody.
    expect(firstDigest(undefined, firstConfiguration(ids('x'), true))).toBe('');
    expect(firstDigest(stream([placed(0), placed(5, 'a', 'b')]), first)).toBe('');
  });
});

describe('the configuration that a member starts with', () => {
  const listed = firstConfiguration(ids('c', 'a', 'b'), false);

  it('is that of the settings when its log is new, or nobody for one that waits to be added', () => {
    expect(listed).toEqual({ voters: ['a', 'b', 'c'], votersOutgoing: [], learners: [] });
    expect(firstConfiguration(ids('c', 'a', 'b'), true).voters).toEqual([]);
    expect(knownConfiguration(undefined, listed, '/data', true)).toEqual({ index: 0, configuration: listed });
  });

  it('R2: is the last one of its log, whatever the settings say', () => {
    const log = stream([placed(0, 'a', 'b', 'c'), placed(5, 'a', 'b', 'd')]);
    expect(knownConfiguration(log, listed, '/data', false)).toEqual(placed(5, 'a', 'b', 'd'));
    expect(knownConfiguration(log, firstConfiguration(ids('x'), true), '/data', false)).toEqual(
      placed(5, 'a', 'b', 'd'),
    );
  });

  it('is asked about when the settings were corrected after a start that nobody noticed', () => {
    const call = (last: number, unknown: boolean) => () =>
      knownConfiguration(stream([placed(0, 'a')], last), listed, '/data', unknown);
    expect(call(0, true)).toThrow('start this member with a, b, c, but /data was started with a, and has never');
    expect(call(0, true)).toThrow('move the folder away to start it anew');
    // Somebody may know it, or it knows something: the log counts.
    expect(call(0, false)).not.toThrow();
    expect(call(7, true)).not.toThrow();
    const joined = () => knownConfiguration(stream([placed(0)], 0), listed, '/data', true);
    expect(joined).toThrow('was started with nobody (join)');
    const joins = () => knownConfiguration(stream([placed(0, 'a')], 0), firstConfiguration([], true), '/data', true);
    expect(joins).toThrow('start this member with nobody (join), but');
  });
});

describe('members that the settings list', () => {
  it('R2: and that do not belong to the cluster are told of, with what to do', () => {
    const known = new Set(ids('a', 'b'));
    expect(strangersListed(ids('a', 'c', 'd'), known)).toContain(
      'lists c, d, but the cluster is a, b: its log says who',
    );
    expect(strangersListed(ids('b'), known)).toBeNull();
    // Who waits to be added knows nobody yet.
    expect(strangersListed(ids('a'), new Set())).toBeNull();
  });
});
