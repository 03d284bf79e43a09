import { describe, expect, it } from 'vitest';
import { decodeConfiguration, encodeConfiguration } from '../../src/codec/configuration.ts';
import { createMachine } from '../../src/machine/machine.ts';
import { Group } from '../../src/node/group.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import { emptyMark } from '../../src/node/store-writer.ts';
import type { Envelope, MutationOutcome, MutationRequest } from '../../src/node/types.ts';
import { Raft } from '../../src/raft/raft.ts';
import { clusterId, fencingToken, logIndex, memberId, streamId, term } from '../../src/types/ids.ts';
import { FORWARDED_BYTES_MAX } from '../../src/types/limits.ts';
import type { Wal } from '../../src/wal/types.ts';
import { MemoryStore } from '../store/memory-store.ts';

const STREAM = streamId(1);
const [A, B] = [memberId('a'), memberId('b')];
const CONFIGURATION = { voters: [A, B], votersOutgoing: [], learners: [] };
const RESULT = 'x'.repeat(60_000);
const REQUEST: MutationRequest = {
  session: null,
  caller: 'c',
  traceId: '',
  body: {
    kind: 'commitPhase',
    ref: { loop: 'l', g: 1, phase: 'ANALYZE' },
    token: fencingToken(1),
    result: RESULT,
    vectorClock: [],
  },
};

/** Nothing is ever durable: nobody is elected here. */
const wal: Wal = {
  streams: [],
  newestSegment: 1,
  bootstrap: async () => undefined,
  start: async () => undefined,
  reset: async () => undefined,
  compact: async () => new Map(),
  bytesAfter: () => 0,
  spaceLow: false,
  probeSpace: async () => false,
  append: async () => undefined,
  read: async () => [],
  waitForRoom: () => undefined,
  close: async () => undefined,
};

function heartbeat(): Extract<Envelope, { kind: 'raft' }> {
  const header = { from: B, to: A, term: term(1) };
  const message = {
    ...header,
    kind: 'heartbeatRequest',
    leaderCommit: logIndex(0),
    readSequence: 0,
    sentMs: 0,
  } as const;
  return { kind: 'raft', stream: STREAM, message };
}

/** Member a, following b; `takes` says whether the network takes what is sent. */
function follower(takes: () => boolean): { group: Group; sent: Envelope[] } {
  const sent: Envelope[] = [];
  const limits = {
    appendBytesMax: 1e6,
    appendEntriesMax: 100,
    inflightMessagesMax: 10,
    inflightBytesMax: 1e6,
    uncommittedBytesMax: 1e7,
    cacheBytesMax: 1e6,
    readsMax: 10,
  };
  const raft = new Raft(
    {
      id: A,
      configurations: [{ index: logIndex(0), configuration: CONFIGURATION }],
      encodeConfiguration,
      decodeConfiguration,
      recovering: false,
      hardState: { term: term(1), votedFor: null },
      log: { firstIndex: logIndex(1), lastIndex: logIndex(0), baseIndex: logIndex(0), baseTerm: term(0), spans: [] },
      appliedIndex: logIndex(0),
      electionTicks: 20,
      heartbeatTicks: 3,
      leaseTicks: 10,
      leaseMs: 160,
      limits,
    },
    { below: () => 0 },
  );
  const group = new Group(
    {
      clusterId: clusterId('c'),
      memberId: A,
      initialConfiguration: CONFIGURATION,
      streams: [STREAM],
      clock: { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, defer: () => undefined },
      random: { below: () => 0 },
      wal,
      store: new MemoryStore(),
      network: {
        send: (_to, envelope) => {
          if (!takes()) return false;
          sent.push(envelope);
          return true;
        },
      },
      settings: DEFAULT_MEMBER_SETTINGS,
      recovering: false,
      featureLevelMax: 2,
      peerFeatureLevels: () => new Map(),
      onFatal: (error) => {
        throw error;
      },
    },
    STREAM,
    { raft, machine: createMachine(), mark: emptyMark({ index: logIndex(0), configuration: CONFIGURATION }) },
  );
  group.receive(B, heartbeat());
  sent.length = 0;
  return { group, sent };
}

describe('A5: forwarding under load', () => {
  it('bounds what waits for the leader in bytes; the rest is refused with a time to come back', async () => {
    const { group, sent } = follower(() => true);
    const outcomes: MutationOutcome[] = [];
    const all = Array.from({ length: 100 }, () => group.mutate(REQUEST, 1_000, true).then((o) => outcomes.push(o)));
    await Promise.resolve();
    expect(sent.length * RESULT.length).toBeLessThanOrEqual(FORWARDED_BYTES_MAX);
    expect(sent.length).toBeGreaterThan(50);
    expect(outcomes).toHaveLength(100 - sent.length);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'refused', reason: 'OVERLOADED' });
    await group.stop();
    await Promise.all(all);
    expect(outcomes.filter((outcome) => outcome.kind === 'indeterminate')).toHaveLength(sent.length);
  });

  it('G2: what the network did not take was certainly not sent, and gives its room back', async () => {
    let takes = false;
    const { group, sent } = follower(() => takes);
    for (let i = 0; i < 200; i += 1) {
      expect(await group.mutate(REQUEST, 1_000, true)).toMatchObject({ kind: 'refused', reason: 'OVERLOADED' });
    }
    takes = true;
    void group.mutate(REQUEST, 1_000, true);
    expect(sent).toHaveLength(1);
    await group.stop();
  });

  it('does not forward to a leader whose connection broke, until it is heard again', async () => {
    const { group, sent } = follower(() => true);
    const waiting = group.mutate(REQUEST, 1_000, true);
    group.unreachable(B);
    expect(await waiting).toMatchObject({ kind: 'indeterminate' });
    expect(await group.mutate(REQUEST, 1_000, true)).toMatchObject({ kind: 'refused', reason: 'NO_QUORUM' });
    group.receive(B, heartbeat());
    sent.length = 0;
    void group.mutate(REQUEST, 1_000, true);
    expect(sent).toHaveLength(1);
    await group.stop();
  });
});
