/** A4: a stall of the process passes as one tick, so that what has arrived meanwhile is heard before an election is due. */
import { describe, expect, it } from 'vitest';
import { Member } from '../../src/node/member.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import type { Envelope } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { clusterId, logIndex, memberId, term } from '../../src/types/ids.ts';
import { MemoryStore, MemoryStoreData } from '../store/memory-store.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { CONFIGURATION, flush, hardState, openStarted, STREAM } from '../wal/support.ts';

const [A, B] = [memberId('a'), memberId('b')];
const { tickMs, electionTicks } = DEFAULT_MEMBER_SETTINGS;
const JUMP_MS = 2_000;

/** Timers as an event loop has them: what is due is called once, and what is set then counts from the time that it is now. */
class LoopClock implements Clock {
  #nowMs = 1_000;
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  defer(callback: () => void): void {
    setImmediate(callback);
  }

  /** Time goes on, and the loop is too busy for its timers. */
  busy(ms: number): void {
    this.#nowMs += ms;
  }

  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.#nowMs);
    for (const { callback } of due) callback();
    await flush();
  }

  async ticks(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) await this.pass(tickMs);
  }
}

interface Follower {
  readonly clock: LoopClock;
  readonly sent: readonly Envelope[];
  hear(): Promise<void>;
  /** A client asks for something. */
  ask(): void;
  stop(): Promise<void>;
}

/** Member a, of which b is the leader in term 2; its election timeout is the shortest that can be drawn. */
async function follower(): Promise<Follower> {
  const clock = new LoopClock();
  const sent: Envelope[] = [];
  const wal = await openStarted(new MemoryDisk());
  await wal.append({ stream: STREAM, hardState: hardState(2, B), entries: [] });
  const member = await Member.open({
    clusterId: clusterId('cluster'),
    memberId: A,
    initialConfiguration: CONFIGURATION,
    streams: [STREAM],
    clock,
    random: { below: () => 0 },
    wal,
    store: new MemoryStore(new MemoryStoreData()),
    network: {
      send: (_to, envelope) => {
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
  });
  member.start();
  const header = { from: B, to: A, term: term(2), leaderCommit: logIndex(0), readSequence: 0, sentMs: 0 };
  const hear = async (): Promise<void> => {
    member.receive(B, { kind: 'raft', stream: STREAM, message: { ...header, kind: 'heartbeatRequest' } });
    await flush();
  };
  await hear();
  const ask = (): void => void member.read(STREAM, 60_000, { kind: 'linearizable' });
  const stop = async (): Promise<void> => {
    await member.stop();
    await wal.close();
  };
  return { clock, sent, hear, ask, stop };
}

function preVotes(sent: readonly Envelope[]): number {
  return sent.filter((one) => one.kind === 'raft' && one.message.kind === 'preVoteRequest').length;
}

describe('A4: the clock of a member that stalls', () => {
  it('passes as one tick: no pre-vote, and then the heartbeats that waited are heard', async () => {
    const { clock, sent, hear, stop } = await follower();
    // Right before the timeout would be over, again and again: one tick more would be an election.
    for (let stall = 0; stall < 5; stall += 1) {
      await clock.ticks(electionTicks - 2);
      await clock.pass(JUMP_MS);
      expect(preVotes(sent)).toBe(0);
      await hear();
    }
    // Each heartbeat was answered: it is a follower still, in the same term.
    const answers = sent.flatMap((one) => (one.kind === 'raft' ? [one.message] : []));
    expect(answers.filter(({ kind }) => kind === 'heartbeatResponse')).toHaveLength(6);
    expect(new Set(answers.map((message) => message.term))).toEqual(new Set([term(2)]));
    await stop();
  });

  it('is not made up for by shorter ticks afterwards', async () => {
    const { clock, sent, stop } = await follower();
    await clock.pass(JUMP_MS);
    await clock.ticks(electionTicks - 2);
    expect(preVotes(sent)).toBe(0);
    await stop();
  });

  it('still runs: without heartbeats there is a pre-vote when the timeout is over', async () => {
    const { clock, sent, stop } = await follower();
    await clock.ticks(electionTicks - 1);
    expect(preVotes(sent)).toBe(0);
    await clock.ticks(1);
    expect(preVotes(sent)).toBeGreaterThan(0);
    await stop();
  });

  it('goes on while calls keep the loop from its timers: each that comes late is a tick, and no tick comes early (A5)', async () => {
    const { clock, sent, ask, stop } = await follower();
    for (let call = 0; call < 10 * electionTicks; call += 1) ask();
    expect(preVotes(sent)).toBe(0);
    for (let call = 0; call < electionTicks - 1; call += 1) {
      clock.busy(2 * tickMs);
      ask();
      ask();
    }
    expect(preVotes(sent)).toBe(0);
    clock.busy(2 * tickMs);
    ask();
    expect(preVotes(sent)).toBeGreaterThan(0);
    await stop();
  });
});
