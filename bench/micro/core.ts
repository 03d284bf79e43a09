/** Three consensus cores and nothing else: what they write is durable at once, and messages arrive in order. */
import { decodeConfiguration, encodeConfiguration } from '../../src/codec/configuration.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import { Raft } from '../../src/raft/raft.ts';
import type { Configuration, Effect, Input } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { logIndex, type MemberId, memberId, term } from '../../src/types/ids.ts';
import * as limits from '../../src/types/limits.ts';

const IDS = ['a', 'b', 'c'].map(memberId);
const CONFIGURATION: Configuration = { voters: IDS, votersOutgoing: [], learners: [] };
const { electionTicks, heartbeatTicks, leaseTicks, leaseMs, tickMs, logCacheBytesMax, uncommittedBytesMax } =
  DEFAULT_MEMBER_SETTINGS;

function raftOf(id: MemberId, seed: number): Raft {
  return new Raft(
    {
      id,
      configurations: [{ index: logIndex(0), configuration: CONFIGURATION }],
      encodeConfiguration,
      decodeConfiguration,
      recovering: false,
      hardState: { term: term(0), votedFor: null },
      log: { firstIndex: logIndex(1), lastIndex: logIndex(0), baseIndex: logIndex(0), baseTerm: term(0), spans: [] },
      appliedIndex: logIndex(0),
      ...{ electionTicks, heartbeatTicks, leaseTicks, leaseMs },
      limits: {
        appendBytesMax: limits.APPEND_BYTES_MAX,
        appendEntriesMax: limits.APPEND_ENTRIES_MAX,
        inflightMessagesMax: limits.INFLIGHT_MESSAGES_MAX,
        inflightBytesMax: limits.INFLIGHT_BYTES_MAX,
        uncommittedBytesMax,
        cacheBytesMax: logCacheBytesMax,
        readsMax: limits.READS_MAX,
      },
    },
    // So that the first of them campaigns first.
    { below: (bound) => Math.min(bound - 1, seed * 5) },
  );
}

export class Cores {
  readonly #cores = new Map(IDS.map((id, i) => [id, raftOf(id, i)]));
  readonly #inputs: { readonly to: MemberId; readonly input: Input }[] = [];
  #nowMs = 0;
  #proposals = 0;
  #committed = 0;

  constructor() {
    while (this.#leader === undefined) {
      this.#nowMs += tickMs;
      for (const id of IDS) this.#step(id, { kind: 'tick', nowMs: this.#nowMs });
    }
  }

  /** So many entries of this payload, proposed together, committed by all three. */
  commit(count: number, payload: Uint8Array): void {
    const [leader] = must(this.#leader, 'there is a leader');
    const wanted = this.#committed + count;
    const proposals = Array.from({ length: count }, () => {
      this.#proposals += 1;
      return { proposalId: this.#proposals, payload };
    });
    this.#step(leader, { kind: 'propose', proposals });
    if (this.#committed < wanted) throw new Error('everything arrives, so everything is committed');
  }

  get #leader(): readonly [MemberId, Raft] | undefined {
    return [...this.#cores].find(([, core]) => core.role === 'leader');
  }

  #step(to: MemberId, input: Input): void {
    this.#inputs.push({ to, input });
    for (let at = 0; at < this.#inputs.length; at += 1) {
      const next = must(this.#inputs[at], 'an input');
      const core = must(this.#cores.get(next.to), 'a core');
      for (const effect of core.step(next.input)) this.#carryOut(next.to, core, effect);
    }
    this.#inputs.length = 0;
  }

  #carryOut(from: MemberId, core: Raft, effect: Effect): void {
    switch (effect.kind) {
      case 'persist':
        for (const message of effect.afterDurable)
          this.#inputs.push({ to: message.to, input: { kind: 'receive', message } });
        this.#inputs.push({ to: from, input: { kind: 'persisted', sequence: effect.sequence } });
        return;
      case 'send':
        this.#inputs.push({ to: effect.message.to, input: { kind: 'receive', message: effect.message } });
        return;
      case 'commit':
        if (core.role === 'leader') this.#committed = effect.index;
        this.#inputs.push({ to: from, input: { kind: 'applied', index: effect.index } });
        return;
      default:
      // Roles and answers to proposals: nobody waits for them here.
    }
  }
}
