/** A2: acknowledgements before the fsync, and what must never leave before it. */
import { describe, expect, it } from 'vitest';
import { CoreDriver } from '../../src/node/core-driver.ts';
import { EarlyAcks } from '../../src/node/early-acks.ts';
import { DiskError } from '../../src/ports/disk.ts';
import type { Raft } from '../../src/raft/raft.ts';
import type { Effect, Entry, HardState, Message } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { logIndex, memberId, streamId, term } from '../../src/types/ids.ts';
import { EARLY_ACK_BYTES_MAX } from '../../src/types/limits.ts';
import type { Wal } from '../../src/wal/types.ts';
import { ManualClock } from '../wal/support.ts';

const TERM = term(3);
const [A, B] = [memberId('a'), memberId('b')];
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const ack = (index: number, inTerm = TERM): Message => ({
  kind: 'appendResponse',
  from: B,
  to: A,
  term: inTerm,
  outcome: { kind: 'accepted', matchIndex: logIndex(index) },
});
const vote = (): Message => ({ kind: 'voteResponse', from: B, to: A, term: TERM, granted: true });
const entry = (index: number, bytes = 1): Entry => ({
  index: logIndex(index),
  term: TERM,
  kind: 'command',
  payload: new Uint8Array(bytes),
});

type Persist = Extract<Effect, { kind: 'persist' }>;

/** A driver with a log whose fsyncs end when the test says so. */
function setUp(early = true) {
  const sent: Message[] = [];
  const fatal: Error[] = [];
  const syncs: { resolve: () => void; reject: (error: Error) => void }[] = [];
  let effects: readonly Effect[] = [];
  const take = (): readonly Effect[] => {
    const given = effects;
    effects = [];
    return given;
  };
  const raft = { term: TERM, entries: () => null, step: take };
  const wal = { append: () => new Promise<void>((resolve, reject) => syncs.push({ resolve, reject })) };
  const allowed = { early };
  const driver = new CoreDriver(
    {
      stream: streamId(1),
      raft: raft as unknown as Raft,
      wal: wal as unknown as Wal,
      clock: new ManualClock(),
      send: (message) => sent.push(message),
      onCommitted: () => undefined,
      onEffect: () => undefined,
      restore: () => new Promise(() => undefined),
      onRestored: () => undefined,
      onFatal: (error) => fatal.push(error),
      mayAckEarly: () => allowed.early,
    },
    logIndex(0),
  );
  let sequence = 0;
  const persist = (some: Partial<Persist>): void => {
    sequence += 1;
    effects = [{ kind: 'persist', sequence, hardState: null, entries: [], afterDurable: [], ...some }];
    driver.input({ kind: 'tick', nowMs: 0 });
  };
  const effect = (one: Effect): void => {
    effects = [one];
    driver.input({ kind: 'tick', nowMs: 0 });
  };
  const synced = async (): Promise<void> => {
    must(syncs.shift(), 'an append waits').resolve();
    await turn();
  };
  return { driver, sent, fatal, syncs, persist, effect, synced, allowed, next: () => sequence + 1 };
}

describe('D6: what leaves before the fsync', () => {
  it('is nothing without the permission', async () => {
    const { persist, sent, synced } = setUp(false);
    persist({ entries: [entry(1)], afterDurable: [ack(1)] });
    await turn();
    expect(sent).toEqual([]);
    await synced();
    expect(sent).toEqual([ack(1)]);
  });

  it('is an acknowledgement, once', async () => {
    const { persist, sent, synced } = setUp();
    persist({ entries: [entry(1)], afterDurable: [ack(1)] });
    expect(sent).toEqual([ack(1)]);
    await synced();
    expect(sent).toEqual([ack(1)]);
  });

  it('is never a vote, nor anything while a term or a vote waits for its fsync', async () => {
    const { persist, sent, synced } = setUp();
    const hardState: HardState = { term: TERM, votedFor: A };
    persist({ hardState, entries: [entry(1)], afterDurable: [vote(), ack(1)] });
    persist({ entries: [entry(2)], afterDurable: [ack(2)] });
    persist({ afterDurable: [vote(), ack(2)] });
    expect(sent).toEqual([]);
    await synced();
    expect(sent).toEqual([vote(), ack(1)]);
    persist({ entries: [entry(3)], afterDurable: [vote(), ack(3)] });
    expect(sent).toEqual([vote(), ack(1), ack(3)]);
    await synced();
    expect(sent).toEqual([vote(), ack(1), ack(3), ack(2), vote(), ack(2)]);
    await synced();
    expect(sent.at(-1)).toEqual(vote());
  });

  it('is nothing of an earlier term', async () => {
    const { persist, sent, synced } = setUp();
    persist({ entries: [entry(1)], afterDurable: [ack(1, term(2))] });
    await synced();
    expect(sent).toEqual([]);
  });

  it('is nothing while an image comes in, nor behind it', () => {
    const { persist, effect, sent, next } = setUp();
    const configuration = { index: logIndex(0), configuration: { voters: [A, B], votersOutgoing: [], learners: [] } };
    const mark = { index: logIndex(9), term: TERM, configuration };
    effect({ kind: 'restore', sequence: next(), mark, keepEntries: false, afterDurable: [ack(9)] });
    persist({ entries: [entry(10)], afterDurable: [ack(10)] });
    expect(sent).toEqual([]);
  });

  it('is bounded by what is held in memory for the slow disk', async () => {
    const { persist, sent, synced } = setUp();
    persist({ entries: [entry(1, EARLY_ACK_BYTES_MAX)], afterDurable: [ack(1)] });
    persist({ entries: [entry(2)], afterDurable: [ack(2)] });
    expect(sent).toEqual([ack(1)]);
    await synced();
    await synced();
    expect(sent).toEqual([ack(1), ack(2)]);
    persist({ entries: [entry(3)], afterDurable: [ack(3)] });
    expect(sent).toEqual([ack(1), ack(2), ack(3)]);
  });

  it('a failed append stops the member, and is remembered', async () => {
    const { driver, persist, syncs, fatal } = setUp();
    persist({ entries: [entry(1)], afterDurable: [ack(1)] });
    const drained = driver.drained();
    must(syncs.shift(), 'an append waits').reject(new Error('EIO'));
    expect(await drained).toBe(false);
    expect(fatal).toHaveLength(1);
  });
});

/** A mark whose changes end when the test says so. */
function setUpMark() {
  const calls: string[] = [];
  const waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const wait = (what: string) => () =>
    new Promise<void>((resolve, reject) => {
      calls.push(what);
      waiting.push({ resolve, reject });
    });
  const fatal: Error[] = [];
  const durable = { all: true, release: (): void => undefined };
  const early = new EarlyAcks({
    mark: { write: wait('write'), remove: wait('remove') },
    drained: () =>
      new Promise((resolve) => {
        calls.push('drain');
        durable.release = () => resolve(durable.all);
      }),
    onFatal: (error) => fatal.push(error),
  });
  const done = async (): Promise<void> => {
    must(waiting.shift(), 'a change waits').resolve();
    await turn();
  };
  const drained = async (): Promise<void> => {
    durable.release();
    await turn();
  };
  return { early, calls, waiting, fatal, durable, done, drained };
}

describe('A2: the permission', () => {
  it('counts from when the mark is durable to its end; the mark goes when everything is durable', async () => {
    const { early, calls, done, drained } = setUpMark();
    early.update(false);
    expect(calls).toEqual([]);
    early.update(true);
    early.update(true);
    expect(early.on).toBe(false);
    await done();
    expect(early.on).toBe(true);
    early.update(true);
    early.update(false);
    expect(early.on).toBe(false);
    early.update(true);
    expect(calls).toEqual(['write', 'drain']);
    await drained();
    expect(calls).toEqual(['write', 'drain', 'remove']);
    expect(early.on).toBe(false);
    await done();
    early.update(true);
    expect(calls).toEqual(['write', 'drain', 'remove', 'write']);
  });

  it('keeps the mark when an append failed', async () => {
    const { early, calls, durable, done, drained } = setUpMark();
    early.update(true);
    await done();
    durable.all = false;
    early.update(false);
    await drained();
    early.update(true);
    expect(early.on).toBe(false);
    expect(calls).toEqual(['write', 'drain']);
  });

  it('ends with the member, in order, also while the mark is just being written', async () => {
    const { early, calls, done, drained } = setUpMark();
    early.update(true);
    let ended = false;
    void early.end().then(() => {
      ended = true;
    });
    await done();
    expect(early.on).toBe(false);
    await drained();
    await done();
    expect(ended).toBe(true);
    expect(calls).toEqual(['write', 'drain', 'remove']);
    early.update(true);
    expect(calls).toHaveLength(3);
  });

  it('W5: a mark for which the disk has no room is taken back whole, and tried again later', async () => {
    const { early, calls, waiting, fatal, done } = setUpMark();
    early.update(true);
    must(waiting.shift(), 'a change waits').reject(new DiskError('no_space', 'async.json', 'no space'));
    await turn();
    expect(calls).toEqual(['write', 'remove']);
    early.update(true);
    await done();
    for (let update = 0; update < 40; update += 1) early.update(true);
    expect(calls).toHaveLength(2);
    for (let update = 0; update < 40; update += 1) early.update(true);
    expect(calls).toEqual(['write', 'remove', 'write']);
    expect(early.on).toBe(false);
    await done();
    expect(early.on).toBe(true);
    expect(fatal).toEqual([]);
  });

  it('a mark that cannot be written or removed stops the member', async () => {
    for (const failing of ['write', 'remove']) {
      const { early, waiting, fatal, done, drained } = setUpMark();
      early.update(true);
      if (failing === 'remove') {
        await done();
        early.update(false);
        await drained();
      }
      must(waiting.shift(), 'a change waits').reject(new Error('EIO'));
      await turn();
      expect(fatal).toMatchObject([{ message: 'EIO' }]);
      expect(early.on).toBe(false);
    }
  });
});
