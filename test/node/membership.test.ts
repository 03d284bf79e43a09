import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MemberRow } from '../../src/machine/rows.ts';
import { LearnerWatch, nextStep, successorOf, untoldRemoval } from '../../src/node/membership.ts';
import type { PeerStatus, RaftStatus } from '../../src/raft/types.ts';
import { logIndex, type MemberId, memberId, revision, term } from '../../src/types/ids.ts';
import { Bench } from '../machine/kit.ts';

const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((id) => memberId(id)) as [
  MemberId,
  MemberId,
  MemberId,
  MemberId,
  MemberId,
];

function peer(id: MemberId, some: Partial<PeerStatus> = {}): PeerStatus {
  const nextIndex = logIndex(101);
  return {
    id,
    matchIndex: logIndex(100),
    nextIndex,
    state: 'replicate',
    inflightMessages: 0,
    active: true,
    recovering: false,
    ...some,
  };
}

function status(some: Partial<RaftStatus> = {}): RaftStatus {
  return {
    id: a,
    role: 'leader',
    term: term(3),
    votedFor: a,
    leader: a,
    lastIndex: logIndex(100),
    lastTerm: term(3),
    durableIndex: logIndex(100),
    commitIndex: logIndex(100),
    appliedIndex: logIndex(100),
    configuration: { voters: [a, b, c], votersOutgoing: [], learners: [] },
    configurationIndex: logIndex(50),
    firstIndex: logIndex(1),
    recovering: false,
    peers: [peer(b), peer(c)],
    ...some,
  };
}

function row(member: MemberId, some: Partial<MemberRow> = {}): MemberRow {
  const peerAddress = `${member}:1`;
  const clientAddress = `${member}:2`;
  const none = { incarnation: '', wanted: 'voter', replaces: '' } as const;
  return { member, peerAddress, clientAddress, ...none, changedRevision: revision(9), ...some };
}

const all = (): boolean => true;
const none = (): boolean => false;

describe('R2: the next step towards the membership that is wanted', () => {
  it('is nothing without wishes, and for one who does not lead', () => {
    expect(nextStep(status(), [], all)).toBeNull();
    expect(nextStep(status({ role: 'follower' }), [row(d)], all)).toBeNull();
  });

  it('takes new members in as learners first, all of them at once', () => {
    const step = nextStep(status(), [row(d), row(e, { wanted: 'learner' })], all);
    expect(step).toEqual({ voters: [a, b, c], learners: [d, e] });
  });

  it('makes those voters that are ready, together, and leaves who shall stay a learner', () => {
    const configuration = { voters: [a, b, c], votersOutgoing: [], learners: [d, e] };
    const peers = [peer(b), peer(c), peer(d), peer(e)];
    const rows = [row(d), row(e)];
    expect(nextStep(status({ configuration, peers }), rows, none)).toBeNull();
    expect(nextStep(status({ configuration, peers }), rows, (id) => id === d)).toEqual({
      voters: [a, b, c, d],
      learners: [e],
    });
    expect(nextStep(status({ configuration, peers }), [row(d), row(e, { wanted: 'learner' })], all)).toEqual({
      voters: [a, b, c, d],
      learners: [e],
    });
  });

  it('replaces a dead member in the change in which its successor becomes a voter', () => {
    const configuration = { voters: [a, b, c], votersOutgoing: [], learners: [d] };
    const peers = [peer(b), peer(c, { active: false }), peer(d)];
    const rows = [row(d, { replaces: c })];
    expect(nextStep(status({ configuration, peers }), rows, all)).toEqual({ voters: [a, b, d], learners: [] });
    // Afterwards the old one is not taken in again, although it may have had a row of its own.
    const after = status({ configuration: { voters: [a, b, d], votersOutgoing: [], learners: [] }, peers });
    expect(nextStep(after, [row(c), ...rows], all)).toBeNull();
  });

  it('leaves a replaced member out when its successor is removed before that is on record (MB5)', () => {
    const configuration = { voters: [a, b, d], votersOutgoing: [], learners: [] };
    const out = status({ configuration, peers: [peer(b), peer(d)] });
    const gone = row(d, { replaces: c, wanted: 'removed' });
    for (const rows of [[row(c), gone], [gone]]) {
      expect(nextStep(out, rows, all)).toEqual({ voters: [a, b], learners: [] });
      expect(untoldRemoval(out, rows)).toBe(c);
      const left = status({ configuration: { ...configuration, voters: [a, b] }, peers: [peer(b)] });
      expect(nextStep(left, rows, all)).toBeNull();
      expect(untoldRemoval(left, rows)).toBe(c);
      // Not while it is in: its successor never took its place.
      expect(nextStep(status(), rows, all)).toBeNull();
      expect(untoldRemoval(status(), rows)).toBeNull();
      const joint = { voters: [a, b, d], votersOutgoing: [a, b, c], learners: [] };
      expect(untoldRemoval(status({ configuration: joint }), rows)).toBeNull();
    }
    expect(untoldRemoval(out, [row(c, { wanted: 'removed' }), gone])).toBeNull();
  });

  it('puts such a member on record also when it was to replace one that is still in', () => {
    // d for c, e for d; e became a voter and d left, but c not yet, when e was removed (simulator, seed 900230).
    const configuration = { voters: [a, b, c], votersOutgoing: [], learners: [] };
    const rows = [row(c), row(d, { replaces: c }), row(e, { replaces: d, wanted: 'removed' })];
    expect(nextStep(status({ configuration }), rows, all)).toBeNull();
    expect(untoldRemoval(status({ configuration }), rows)).toBe(d);
    const told = [row(c), row(d, { replaces: c, wanted: 'removed' }), row(e, { replaces: d, wanted: 'removed' })];
    expect(untoldRemoval(status({ configuration }), told)).toBeNull();
    expect(nextStep(status({ configuration }), told, all)).toBeNull();
  });

  it('puts each member on record once, however long the chain of successors: rows of those before are forgotten', () => {
    const bench = new Bench({ memberRowsMax: 16 });
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: false });
    const told: MemberId[] = [];
    for (let n = 1; n <= 48; n++) {
      const [member, replaces] = [memberId(`m${n}`), memberId(`m${n - 1}`)];
      const where = { peerAddress: `${member}:1`, clientAddress: `${member}:2`, incarnation: 'a'.repeat(32) };
      const added = { kind: 'add', member, ...where, role: 'voter', replaces } as const;
      bench.done('membersChanged', { kind: 'changeMembers', changes: [added] });
      const out = status({
        id: member,
        configuration: { voters: [member], votersOutgoing: [], learners: [] },
        peers: [],
      });
      const next = () => untoldRemoval(out, bench.machine.members());
      for (let gone = next(); gone !== null && told.length < 1_000; gone = next()) {
        told.push(gone);
        bench.done('membersChanged', { kind: 'changeMembers', changes: [{ kind: 'remove', member: gone }] });
      }
    }
    expect(told).toEqual(Array.from({ length: 48 }, (_, n) => `m${n}`));
    expect(bench.machine.members()).toHaveLength(16);
    expect(bench.machine.members().every(({ incarnation }) => incarnation !== '')).toBe(true);
  });

  it('takes in the successor of one of as many members as there may be', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((id) => memberId(id));
    const configuration = { voters: ids, votersOutgoing: [], learners: [] };
    const peers = ids.slice(1).map((id) => peer(id));
    const h = memberId('h');
    expect(nextStep(status({ configuration, peers }), [row(h)], all)).toBeNull();
    expect(nextStep(status({ configuration, peers }), [row(h, { replaces: c })], all)).toEqual({
      voters: ids,
      learners: [h],
    });
  });

  it('removes several at once, the leader among them', () => {
    const rows = [row(a, { wanted: 'removed' }), row(b, { wanted: 'removed' })];
    expect(nextStep(status(), rows, all)).toEqual({ voters: [c], learners: [] });
  });

  it('begins nothing that would stay joint: a majority of the new voters must be active', () => {
    const peers = [peer(b), peer(c, { active: false })];
    expect(nextStep(status({ peers }), [row(b, { wanted: 'removed' })], all)).toBeNull();
    expect(nextStep(status({ peers }), [row(c, { wanted: 'removed' })], all)).toEqual({ voters: [a, b], learners: [] });
  });

  it('does not count on a member that recovers: it has no vote', () => {
    const peers = [peer(b), peer(c, { recovering: true })];
    expect(nextStep(status({ peers }), [row(b, { wanted: 'removed' })], all)).toBeNull();
    expect(successorOf(status({ peers: [peer(c, { recovering: true })] }))).toBeNull();
  });

  it('follows a chain of successors to its beginning', () => {
    // d for c, and e for d before d was in; then e is the voter.
    const configuration = { voters: [a, b, c], votersOutgoing: [], learners: [d, e] };
    const peers = [peer(b), peer(c), peer(d), peer(e)];
    const rows = [row(d, { replaces: c }), row(e, { replaces: d })];
    const step = nextStep(status({ configuration, peers }), rows, (id) => id === e);
    expect(step).toEqual({ voters: [a, b, e], learners: [] });
    const after = status({ configuration: { voters: [a, b, e], votersOutgoing: [], learners: [] } });
    expect(untoldRemoval(after, rows)).toBe(c);
    expect(untoldRemoval(after, [...rows, row(c, { wanted: 'removed' })])).toBe(d);
    const told = [row(c, { wanted: 'removed' }), row(d, { wanted: 'removed' }), row(e, { replaces: d })];
    expect(untoldRemoval(after, told)).toBeNull();
  });

  it('never asks for a configuration without voters', () => {
    const rows = [a, b, c].map((member) => row(member, { wanted: 'removed' }));
    expect(nextStep(status(), rows, all)).toBeNull();
  });

  it('waits while a change is under way', () => {
    const joint = { voters: [a, b], votersOutgoing: [a, b, c], learners: [] };
    expect(nextStep(status({ configuration: joint }), [row(d)], all)).toBeNull();
    expect(nextStep(status({ configurationIndex: logIndex(101) }), [row(d)], all)).toBeNull();
  });
});

describe('A1: a lagging voter', () => {
  const slow = (lagging: readonly MemberId[], doubtful: readonly MemberId[] = []) => ({
    lagging: new Set(lagging),
    doubtful: new Set(doubtful),
  });
  const five = { voters: [a, b, c, d, e], votersOutgoing: [], learners: [] };
  const peersOf = (...away: MemberId[]) => [b, c, d, e].map((id) => peer(id, { active: !away.includes(id) }));

  it('becomes a learner, also a first member that has no row, and a voter again when it is ready', () => {
    expect(nextStep(status(), [], all, slow([c]))).toEqual({ voters: [a, b], learners: [c] });
    const configuration = { voters: [a, b], votersOutgoing: [], learners: [c] };
    expect(nextStep(status({ configuration }), [], all, slow([c]))).toBeNull();
    expect(nextStep(status({ configuration }), [], none)).toBeNull();
    expect(nextStep(status({ configuration }), [], all)).toEqual({ voters: [a, b, c], learners: [] });
    expect(nextStep(status({ configuration }), [row(c)], all)).toEqual({ voters: [a, b, c], learners: [] });
    expect(nextStep(status({ configuration }), [row(c, { wanted: 'learner' })], all)).toBeNull();
  });

  it('stays a voter while it leads', () => {
    expect(nextStep(status(), [], all, slow([a]))).toBeNull();
  });

  it.each([
    ['of two', { voters: [a, b], votersOutgoing: [], learners: [] }, [peer(b)], b],
    [
      'of three with one away',
      { voters: [a, b, c], votersOutgoing: [], learners: [] },
      [peer(b, { active: false }), peer(c)],
      c,
    ],
    ['of three with one that recovers', undefined, [peer(b, { recovering: true }), peer(c)], c],
    ['of five with two away', five, peersOf(b, d), c],
  ])('stays a voter %s: too few healthy ones would be left', (_, configuration, peers, member) => {
    const at = status({ peers, ...(configuration === undefined ? {} : { configuration }) });
    expect(nextStep(at, [], all, slow([member]))).toBeNull();
  });

  it('of five with one away goes, unless another one is in doubt', () => {
    const at = status({ configuration: five, peers: peersOf(b) });
    expect(nextStep(at, [], all, slow([c]))).toEqual({ voters: [a, b, d, e], learners: [c] });
    expect(nextStep(at, [], all, slow([c], [e]))).toBeNull();
  });

  it('does not keep another change from being made', () => {
    const at = status({
      configuration: { voters: [a, b], votersOutgoing: [], learners: [d] },
      peers: [peer(b), peer(d)],
    });
    expect(nextStep(at, [row(d)], all, slow([b]))).toEqual({ voters: [a, b, d], learners: [] });
  });

  it('that is to be removed goes, slow or not', () => {
    const rows = [row(c, { wanted: 'removed' })];
    expect(nextStep(status(), rows, all, slow([c]))).toEqual({ voters: [a, b], learners: [] });
  });

  it('stays a voter until its predecessor is on record as removed: that one would be taken in again', () => {
    const configuration = { voters: [a, b, d], votersOutgoing: [], learners: [] };
    const at = status({ configuration, peers: [peer(b), peer(d)] });
    const rows = [row(c), row(d, { replaces: c })];
    expect(nextStep(at, rows, all, slow([d]))).toBeNull();
    const told = [row(c, { wanted: 'removed' }), row(d, { replaces: c })];
    expect(nextStep(at, told, all, slow([d]))).toEqual({ voters: [a, b], learners: [d] });
  });

  it('over random clusters: healthy voters that stay are a majority of the voters before whenever somebody is demoted', () => {
    const flags = fc.record({
      active: fc.boolean(),
      recovering: fc.boolean(),
      lagging: fc.boolean(),
      doubtful: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(flags, { minLength: 1, maxLength: 6 }), (others) => {
        const named = others.map((one, i) => ({ ...one, id: memberId('bcdefg'.charAt(i)) }));
        const voters = [a, ...named.map(({ id }) => id)];
        const peers = named.map(({ id, active, recovering }) => peer(id, { active, recovering }));
        const configuration = { voters, votersOutgoing: [], learners: [] };
        const of = (test: (one: (typeof named)[number]) => boolean) => named.filter(test).map(({ id }) => id);
        const sidelined = slow(
          of(({ lagging }) => lagging),
          of(({ doubtful }) => doubtful),
        );
        const step = nextStep(status({ configuration, peers }), [], all, sidelined);
        if (step === null) return;
        const well = named.filter(
          (one) => one.active && !one.recovering && !one.doubtful && step.voters.includes(one.id),
        );
        expect(step.voters).toContain(a);
        expect(1 + well.length).toBeGreaterThanOrEqual(Math.floor(voters.length / 2) + 1);
      }),
      { numRuns: 500 },
    );
  });
});

describe('R2: a learner is ready', () => {
  const configuration = { voters: [a, b, c], votersOutgoing: [], learners: [d] };
  const at = (matchIndex: number, some: Partial<PeerStatus> = {}): RaftStatus =>
    status({ configuration, peers: [peer(b), peer(c), peer(d, { matchIndex: logIndex(matchIndex), ...some })] });

  it('when it was close behind for long enough without a break', () => {
    const watch = new LearnerWatch();
    watch.observe(at(95), 10, 1_000);
    expect(watch.ready(d, 1_399, 400)).toBe(false);
    expect(watch.ready(d, 1_400, 400)).toBe(true);
    watch.observe(at(80), 10, 1_500);
    expect(watch.ready(d, 2_000, 400)).toBe(false);
    watch.observe(at(99), 10, 2_000);
    expect(watch.ready(d, 2_100, 400)).toBe(false);
    expect(watch.ready(d, 2_400, 400)).toBe(true);
  });

  it('not while it cannot be reached or is being sent an image', () => {
    const watch = new LearnerWatch();
    watch.observe(at(100, { active: false }), 10, 0);
    watch.observe(at(100, { state: 'snapshot' }), 10, 10);
    expect(watch.ready(d, 1_000, 400)).toBe(false);
  });
});

describe('A4: leadership goes to', () => {
  it('the active voter that is furthest, or to nobody', () => {
    const behind = peer(b, { matchIndex: logIndex(90) });
    expect(successorOf(status({ peers: [behind, peer(c)] }))).toBe(c);
    expect(successorOf(status({ peers: [behind, peer(c, { active: false })] }))).toBe(b);
    expect(successorOf(status({ peers: [peer(d)] }))).toBeNull();
  });
});
