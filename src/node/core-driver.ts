/**
 * Runs the effects of one raft core, and nothing else: it knows the log and the network, not what the entries mean.
 *
 * Invariants:
 * D1  Effects run in the order the core gave them; inputs that they cause are stepped after the effects at hand.
 * D2  What hangs off a persist effect is sent only after its fsync, and only if the core's term is still the
 *     message's (raft I1, I3).
 * D3  `persisted` reaches the core in the order of the persist effects (raft I2).
 * D4  Entries reach `onCommitted` once each, in order, without a gap, but for those that an image stands for (`restore`).
 * D5  While an image is taken over nothing is applied, and nothing that came after it reaches the log before it.
 * D6  The one exception to D2 (A2, permit-async): acknowledgements of entries leave before the fsync while the data folder is
 *     marked, so that after a crash the member takes itself for one that lost a part of its log. Never while a term, a vote or
 *     an image waits for its fsync, and never a vote.
 */
import type { Clock } from '../ports/clock.ts';
import type { Raft } from '../raft/raft.ts';
import type { Effect, Entry, Input, Message, SnapshotMark } from '../raft/types.ts';
import { assert, must, unreachable } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId } from '../types/ids.ts';
import { EARLY_ACK_BYTES_MAX } from '../types/limits.ts';
import type { Wal } from '../wal/types.ts';
import type { AckTimes } from './ack-times.ts';

/** Entries applied in one turn, so that timers and sockets are served in between. */
const APPLY_BYTES_PER_TURN = 256 * 1024;

/** Effects that concern clients and roles: the group handles them. */
export type OutwardEffect = Exclude<Effect, { kind: 'persist' | 'send' | 'commit' | 'readLog' | 'restore' }>;

export interface CoreDriverOptions {
  readonly stream: StreamId;
  readonly raft: Raft;
  readonly wal: Wal;
  readonly clock: Clock;
  readonly send: (message: Message) => void;
  /** Committed entries in order (D4); must apply all of them before it returns. */
  readonly onCommitted: (entries: readonly Entry[]) => void;
  readonly onEffect: (effect: OutwardEffect) => void;
  /** Makes the image that lies ready the state on disk, atomically, and lets the log begin after it. */
  readonly restore: (mark: SnapshotMark, keepEntries: boolean) => Promise<void>;
  /** That is durable: the state in memory is replaced before this returns. */
  readonly onRestored: (mark: SnapshotMark) => void;
  readonly onFatal: (error: Error) => void;
  /** D6. Left out: never. */
  readonly mayAckEarly?: () => boolean;
  /** Is told how long the log takes (A1). */
  readonly ackTimes?: AckTimes | null;
}

export class CoreDriver {
  readonly #options: CoreDriverOptions;
  readonly #raft: Raft;
  readonly #inputs: Input[] = [];
  #stepping = false;
  #stopped = false;
  /** Settles when every append so far is durable. */
  #lastAppend: Promise<void> = Promise.resolve();
  #persistedSequence = 0;
  /** Of the last persist effect with a term, a vote or an image. */
  #hardSequence = 0;
  /** Payload of appends that are not durable yet, bytes. */
  #undurableBytes = 0;
  #appendFailed = false;
  #commitIndex: number;
  #appliedIndex: number;
  #applying = false;
  #restoring = false;
  /** Images taken over so far: what was read of the log before one is of no use after it. */
  #restores = 0;
  /** Appends that wait for the image before them. */
  #held = 0;

  constructor(options: CoreDriverOptions, appliedIndex: LogIndex) {
    this.#options = options;
    this.#raft = options.raft;
    this.#appliedIndex = appliedIndex;
    this.#commitIndex = appliedIndex;
  }

  /** Feeds one input and runs what it causes. Safe to call from within an effect (D1). */
  input(input: Input): void {
    if (this.#stopped) return;
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined && !this.#stopped; next = this.#inputs.shift()) {
        for (const effect of this.#raft.step(next)) this.#run(effect);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#stepping = false;
    }
  }

  /** Nothing is stepped, sent or applied any more; resolves when the log is quiet. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#inputs.length = 0;
    await this.#lastAppend.catch(() => undefined);
  }

  /** Resolves with whether everything appended so far is durable. */
  async drained(): Promise<boolean> {
    await this.#lastAppend;
    return !this.#appendFailed;
  }

  #run(effect: Effect): void {
    switch (effect.kind) {
      case 'persist':
        this.#persist(effect);
        return;
      case 'send':
        this.#options.send(effect.message);
        return;
      case 'commit':
        assert(effect.index >= this.#commitIndex, 'the commit index never goes back');
        this.#commitIndex = effect.index;
        this.#apply();
        return;
      case 'readLog':
        this.#readLog(effect);
        return;
      case 'restore':
        this.#restore(effect);
        return;
      case 'proposalAppended':
      case 'proposalRefused':
      case 'readReady':
      case 'readRefused':
      case 'roleChanged':
      case 'transferEnded':
      case 'sendSnapshot':
      case 'snapshotRefused':
      case 'configurationChanged':
      case 'recovered':
      case 'recoveryImpossible':
        this.#options.onEffect(effect);
        return;
      default:
        unreachable(effect, 'effect');
    }
  }

  #persist(effect: Extract<Effect, { kind: 'persist' }>): void {
    const { stream, wal } = this.#options;
    const empty = effect.hardState === null && effect.entries.length === 0;
    const before = this.#lastAppend;
    // Nothing to write: durable as soon as everything before it is. Each waits for the one before it, because
    // appends that share an fsync settle together, and an empty effect between them must not be overtaken (D3).
    const append = (): Promise<void> => {
      this.#options.ackTimes?.began(this.#options.clock.monotonicMs());
      return wal.append({ stream, hardState: effect.hardState, entries: effect.entries });
    };
    const bytes = effect.entries.reduce((sum, { payload }) => sum + payload.length, 0);
    this.#undurableBytes += bytes;
    let durable: Promise<unknown> = before;
    // While an image is taken over, the log must not be given what comes after it, nor what comes after that (D5).
    if (!empty && (this.#restoring || this.#held > 0)) {
      this.#held += 1;
      durable = before.then(() => {
        this.#held -= 1;
        return append();
      });
    } else if (!empty) durable = Promise.all([append(), before]);
    if (effect.hardState !== null) this.#hardSequence = effect.sequence;
    const afterDurable = this.#ackEarly(effect.afterDurable);
    this.#lastAppend = durable.then(
      () => {
        this.#undurableBytes -= bytes;
        if (!empty) this.#options.ackTimes?.ended(this.#options.clock.monotonicMs());
        this.#persisted(effect.sequence, afterDurable);
      },
      (error: unknown) => this.#appendBroke(error),
    );
  }

  /** D6. Sends what may leave already; returns the rest. */
  #ackEarly(messages: readonly Message[]): readonly Message[] {
    const settled = this.#hardSequence <= this.#persistedSequence && !this.#restoring && this.#held === 0;
    if (!settled || this.#options.mayAckEarly?.() !== true) return messages;
    // What waits for a slow disk is held in memory: beyond this, acknowledgements wait as well, and with them the leader.
    if (this.#undurableBytes > EARLY_ACK_BYTES_MAX) return messages;
    const isAck = (message: Message): boolean => message.kind === 'appendResponse' && this.#mayStillSend(message);
    for (const message of messages) if (isAck(message)) this.#options.send(message);
    return messages.filter((message) => !isAck(message));
  }

  #appendBroke(error: unknown): void {
    this.#appendFailed = true;
    this.#fail(error);
  }

  #restore(effect: Extract<Effect, { kind: 'restore' }>): void {
    assert(!this.#restoring, 'one image is taken over at a time');
    this.#restoring = true;
    const { mark, keepEntries, sequence, afterDurable } = effect;
    this.#hardSequence = sequence;
    this.#lastAppend = this.#lastAppend
      .then(() => (this.#stopped ? undefined : this.#options.restore(mark, keepEntries)))
      .then(
        () => this.#restored(mark, sequence, afterDurable),
        (error: unknown) => this.#appendBroke(error),
      );
  }

  #restored(mark: SnapshotMark, sequence: number, afterDurable: readonly Message[]): void {
    if (this.#stopped) return;
    try {
      this.#options.onRestored(mark);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#restoring = false;
    // A reading of the log that began before is not waited for (D5).
    this.#restores += 1;
    this.#applying = false;
    this.#appliedIndex = mark.index;
    this.#commitIndex = Math.max(this.#commitIndex, mark.index);
    this.#persisted(sequence, afterDurable);
    this.input({ kind: 'applied', index: mark.index });
    this.#apply();
  }

  #persisted(sequence: number, afterDurable: readonly Message[]): void {
    if (this.#stopped) return;
    assert(sequence === this.#persistedSequence + 1, 'persist effects become durable in order (D3)');
    this.#persistedSequence = sequence;
    for (const message of afterDurable) {
      if (this.#mayStillSend(message)) this.#options.send(message);
    }
    this.input({ kind: 'persisted', sequence });
  }

  /** D2. A pre-vote answer carries the term that would be campaigned for, and binds nobody. */
  #mayStillSend(message: Message): boolean {
    return message.kind === 'preVoteResponse' || message.term === this.#raft.term;
  }

  #readLog(effect: Extract<Effect, { kind: 'readLog' }>): void {
    const to = logIndex(effect.from + effect.entriesMax - 1);
    this.#options.wal.read(this.#options.stream, effect.from, to, effect.bytesMax).then(
      (entries) => this.input({ kind: 'logRead', to: effect.to, entries }),
      (error: unknown) => this.#fail(error),
    );
  }

  #apply(): void {
    if (this.#applying || this.#restoring || this.#stopped || this.#appliedIndex >= this.#commitIndex) return;
    this.#applying = true;
    const from = logIndex(this.#appliedIndex + 1);
    const to = logIndex(this.#commitIndex);
    const cached = this.#raft.entries(from, to, APPLY_BYTES_PER_TURN);
    if (cached !== null && cached.length > 0) {
      this.#applyEntries(cached);
      return;
    }
    const { stream, wal } = this.#options;
    const restores = this.#restores;
    wal.read(stream, from, to, APPLY_BYTES_PER_TURN).then(
      (entries) => {
        if (restores === this.#restores) this.#applyEntries(entries);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #applyEntries(entries: readonly Entry[]): void {
    if (this.#stopped) return;
    if (this.#restoring) {
      // Read while the image came in: it stands for these entries as well (D5).
      this.#applying = false;
      return;
    }
    try {
      const first = must(entries[0], `committed entry ${this.#appliedIndex + 1} is in the log`);
      assert(first.index === this.#appliedIndex + 1, 'entries are applied without a gap (D4)');
      this.#options.onCommitted(entries);
      this.#appliedIndex += entries.length;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#applying = false;
    this.input({ kind: 'applied', index: logIndex(this.#appliedIndex) });
    if (this.#appliedIndex < this.#commitIndex) this.#options.clock.defer(() => this.#apply());
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }
}
