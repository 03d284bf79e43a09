/** D5: what a member without a majority answers, and that its log does not grow. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Member } from '../../src/node/member.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import type { Envelope, MutationOutcome } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Message } from '../../src/raft/types.ts';
import { clusterId, logIndex, memberId, term } from '../../src/types/ids.ts';
import { MemoryStore, MemoryStoreData } from '../store/memory-store.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { entry, flush, hardState, openStarted, STREAM } from '../wal/support.ts';

const [A, B, C] = [memberId('a'), memberId('b'), memberId('c')];
const PARTITION_MS = 2_000;
const settings = { ...DEFAULT_MEMBER_SETTINGS, partitionMs: PARTITION_MS };
const { tickMs, electionTicks } = settings;

/** Timers that are due are called in order, each once. */
class StepClock implements Clock {
  nowMs = 1_000;
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  defer(callback: () => void): void {
    setImmediate(callback);
  }

  async ticks(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      this.nowMs += tickMs;
      const due = this.#timers.filter(({ dueMs }) => dueMs <= this.nowMs);
      this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.nowMs);
      for (const { callback } of due) callback();
      await flush();
    }
  }
}

/** Member a of three, in term 2, which the test plays the others for. */
async function memberOfThree() {
  const clock = new StepClock();
  const wal = await openStarted(new MemoryDisk());
  await wal.append({ stream: STREAM, hardState: hardState(2, B), entries: [] });
  const member = await Member.open({
    clusterId: clusterId('cluster'),
    memberId: A,
    initialConfiguration: { voters: [A, B, C], votersOutgoing: [], learners: [] },
    streams: [STREAM],
    clock,
    random: { below: () => 0 },
    wal,
    store: new MemoryStore(new MemoryStoreData()),
    network: { send: (_to: unknown, _envelope: Envelope) => true },
    settings,
    recovering: false,
    featureLevelMax: 2,
    peerFeatureLevels: () => new Map(),
    onFatal: (error) => {
      throw error;
    },
  });
  member.start();
  const receive = async (message: Message): Promise<void> => {
    member.receive(message.from, { kind: 'raft', stream: STREAM, message });
    await flush();
  };
  const heartbeat = (inTerm: number): Promise<void> =>
    receive({
      kind: 'heartbeatRequest',
      from: B,
      to: A,
      term: term(inTerm),
      leaderCommit: logIndex(0),
      readSequence: 0,
      sentMs: 0,
    });
  /** One entry at the beginning of the log, from the leader b. */
  const append = (inTerm: number): Promise<void> =>
    receive({
      kind: 'appendRequest',
      from: B,
      to: A,
      term: term(inTerm),
      prevLogIndex: logIndex(0),
      prevLogTerm: term(0),
      entries: [{ ...entry(1, inTerm, ''), kind: 'noop', payload: new Uint8Array(0) }],
      leaderCommit: logIndex(0),
    });
  const mutate = (): Promise<MutationOutcome> => {
    const body = { kind: 'createLoop', loop: 'l', plan: '' } as const;
    return member.mutate(STREAM, { session: null, caller: 'agent', traceId: '', body }, 5_000);
  };
  const stop = async (): Promise<void> => {
    const stopped = member.stop();
    await clock.ticks(electionTicks);
    await stopped;
    await wal.close();
  };
  return { clock, member, receive, heartbeat, append, mutate, stop, log: () => member.status(STREAM).raft };
}

/** The outcome, which is there at once: no time passes for it. */
async function atOnce(outcome: Promise<MutationOutcome>): Promise<string> {
  let settled: MutationOutcome | null = null;
  void outcome.then((one) => {
    settled = one;
  });
  await flush();
  const found = settled as MutationOutcome | null;
  return found === null ? 'waits' : found.kind === 'refused' ? found.reason : found.kind;
}

describe('D5: a follower that hears nobody', () => {
  it('refuses at once, is PARTITIONED after the window, and takes nothing before it hears a leader of its term', async () => {
    const { clock, member, heartbeat, append, mutate, stop, log } = await memberOfThree();
    await heartbeat(2);
    const heardMs = clock.nowMs;
    await clock.ticks(2 * electionTicks);
    expect(await atOnce(mutate())).toBe('NO_QUORUM');
    while (clock.nowMs + 2 * tickMs < heardMs + PARTITION_MS) await clock.ticks(1);
    expect(member.status(STREAM)).toMatchObject({ alarms: [], partitionMs: 0 });
    await clock.ticks(3);
    expect(await atOnce(mutate())).toBe('PARTITION_ERROR');
    expect(member.status(STREAM).alarms).toEqual(['PARTITIONED']);

    // Its campaigns end at the pre-vote: neither the term nor the log grows.
    await clock.ticks(200);
    expect(log()).toMatchObject({ term: 2, lastIndex: 0 });
    await append(1);
    await clock.ticks(1);
    expect(log()).toMatchObject({ term: 2, lastIndex: 0 });
    expect(member.status(STREAM).alarms).toEqual(['PARTITIONED']);

    const healedMs = clock.nowMs;
    await append(2);
    await clock.ticks(1);
    expect(log().lastIndex).toBe(1);
    expect(member.status(STREAM).alarms).toEqual([]);
    const { partitionMs } = member.status(STREAM);
    expect(Math.abs(partitionMs - (healedMs - heardMs))).toBeLessThanOrEqual(tickMs);
    await clock.ticks(5);
    expect(member.status(STREAM).partitionMs).toBe(partitionMs);
    await stop();
  });

  it('a leader of a later term ends it as well, whatever term that is', async () => {
    const { clock, member, heartbeat, stop, log } = await memberOfThree();
    await clock.ticks(PARTITION_MS / tickMs + 2);
    expect(member.status(STREAM).alarms).toEqual(['PARTITIONED']);
    await heartbeat(9);
    await clock.ticks(1);
    expect(member.status(STREAM).alarms).toEqual([]);
    expect(log().term).toBe(9);
    await stop();
  });
});

describe('D5: a leader that loses its majority', () => {
  it('steps down within an election timeout, refuses at once from then on, and its log does not grow any more', async () => {
    const { clock, member, receive, mutate, stop, log } = await memberOfThree();
    await clock.ticks(2 * electionTicks);
    const answer = { from: B, to: A, granted: true } as const;
    await receive({ ...answer, kind: 'preVoteResponse', term: term(3) });
    await receive({ ...answer, kind: 'voteResponse', term: term(3) });
    expect(log()).toMatchObject({ role: 'leader', term: 3, lastIndex: 1 });
    expect(await atOnce(mutate())).toBe('waits');
    expect(log().lastIndex).toBe(2);
    const electedMs = clock.nowMs;
    await clock.ticks(electionTicks + 1);
    expect(log().role).not.toBe('leader');
    expect(await atOnce(mutate())).toBe('NO_QUORUM');
    while (clock.nowMs < electedMs + PARTITION_MS + 2 * tickMs) await clock.ticks(1);
    expect(await atOnce(mutate())).toBe('PARTITION_ERROR');
    expect(member.status(STREAM).alarms).toEqual(['PARTITIONED']);
    expect(log()).toMatchObject({ term: 3, lastIndex: 2 });
    await stop();
  });
});

describe('PW3', () => {
  const from = fc.constantFrom(B, C);
  const inTerm = fc.integer({ min: 1, max: 5 });
  const at = fc.integer({ min: 0, max: 3 });
  const message: fc.Arbitrary<Message> = fc.oneof(
    fc.record({ from, term: inTerm, lastLogIndex: at, lastLogTerm: inTerm }).map((fields) => ({
      ...(fields as object),
      kind: 'preVoteRequest',
      to: A,
    })),
    fc
      .record({ from, term: inTerm, lastLogIndex: at, lastLogTerm: inTerm, leadershipTransfer: fc.boolean() })
      .map((fields) => ({ ...(fields as object), kind: 'voteRequest', to: A })),
    fc.record({ from, term: inTerm }).map((fields) => ({ ...fields, kind: 'voteResponse', to: A, granted: false })),
    fc.record({ from, term: inTerm }).map((fields) => ({ ...fields, kind: 'preVoteResponse', to: A, granted: false })),
    // Of a term that is over: 1 is below the term of this member from the start.
    fc.record({ from }).map(({ from: sender }) => ({
      kind: 'appendRequest',
      from: sender,
      to: A,
      term: term(1),
      prevLogIndex: logIndex(0),
      prevLogTerm: term(0),
      entries: [{ ...entry(1, 1, ''), kind: 'noop', payload: new Uint8Array(0) }],
      leaderCommit: logIndex(1),
    })),
  ) as fc.Arbitrary<Message>;

  it('property: whatever others send who do not lead, the log of a member stays as it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(message, fc.integer({ min: 0, max: 30 })), { maxLength: 12 }),
        async (story) => {
          const { clock, receive, stop, log } = await memberOfThree();
          for (const [one, ticks] of story) {
            await receive(one);
            await clock.ticks(ticks);
            expect(log().lastIndex).toBe(0);
          }
          await stop();
        },
      ),
      { numRuns: 40 },
    );
  });
});
