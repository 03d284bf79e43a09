/**
 * An image that comes in (R4): staged beside the tables piece by piece, checked as a whole, loaded, and only then offered to
 * the core, which decides. Taking it over is three durable steps, each of which a restart can go on from (store/types.ts).
 *
 * IR1  Pieces are handled one after the other; those of another transfer start over.
 * IR2  Nothing that is served changes before the core has decided and the image is durable.
 * IR3  While an image is taken over, nothing else is staged: pieces that come meanwhile, also of another transfer, are dropped,
 *      and sent again.
 * IR4  What became of an image is said again to whoever sends pieces of it again: the word may have been lost, and a second copy would
 *      never be whole, as the sender sends no acknowledged piece again (simulator, seed 886000005684).
 * IR5  What is dropped is dropped at once, not behind pieces that wait: those may begin the next leader's transfer, which would be
 *      lost with it while it is taken over (a review; test/node/image-races.test.ts).
 */
import type { MachineLoader, ReplicatedMachine } from '../machine/api.ts';
import type { SnapshotMark } from '../raft/types.ts';
import { loadImage } from '../snapshot/load.ts';
import { SnapshotReceiver } from '../snapshot/receiver.ts';
import type { Staging, Store } from '../store/types.ts';
import { assert, must } from '../types/assert.ts';
import type { LogIndex, MemberId, StreamId, Term } from '../types/ids.ts';
import type { Wal } from '../wal/types.ts';
import type { SnapshotAck, SnapshotChunk } from './types.ts';

/** Pieces that wait to be staged; a sender has fewer in flight. */
const QUEUED_MAX = 16;

export interface ImageReceiverOptions {
  readonly stream: StreamId;
  readonly store: Store;
  readonly wal: Wal;
  readonly startLoading: () => MachineLoader;
  /** Lets other work run. */
  readonly yieldNow: () => Promise<void>;
  /** Term and leader as the core knows them. */
  readonly office: () => { readonly term: Term; readonly leader: MemberId | null };
  readonly ack: (to: MemberId, ack: SnapshotAck) => void;
  /** The whole image lies ready: the core decides. */
  readonly onReady: (from: MemberId, term: Term, mark: SnapshotMark) => void;
  readonly onBad: (from: MemberId, why: string) => void;
}

interface Ready {
  readonly from: MemberId;
  readonly transferId: number;
  readonly next: number;
  readonly mark: SnapshotMark;
  readonly machine: ReplicatedMachine;
  readonly staging: Staging;
}

export class ImageReceiver {
  readonly #options: ImageReceiverOptions;
  readonly #receiver: SnapshotReceiver;
  #ready: Ready | null = null;
  /** What was said of the last one (IR4). */
  #said: { readonly to: MemberId; readonly ack: SnapshotAck } | null = null;
  #queued = 0;
  #tail: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: ImageReceiverOptions) {
    this.#options = options;
    this.#receiver = new SnapshotReceiver(() => options.store.stage(options.stream));
  }

  receive(from: MemberId, chunk: SnapshotChunk): void {
    const { term, leader } = this.#options.office();
    const { transferId, sequence } = chunk;
    if (chunk.term < term) {
      this.#options.ack(from, { transferId, next: sequence, outcome: 'refused' });
      return;
    }
    // Of a leader that was not heard of yet: it sends again.
    if (chunk.term !== term || leader !== from || this.#stopped || this.#queued >= QUEUED_MAX) return;
    this.#queued += 1;
    this.#tail = this.#tail.then(async () => {
      this.#queued -= 1;
      await this.#take(from, chunk);
    });
  }

  async #take(from: MemberId, chunk: SnapshotChunk): Promise<void> {
    if (this.#stopped) return;
    const { transferId } = chunk;
    // IR3
    if (this.#ready !== null) return;
    if (this.#said?.to === from && this.#said.ack.transferId === transferId) {
      this.#options.ack(from, this.#said.ack);
      return;
    }
    try {
      const { outcome, next } = await this.#receiver.accept(chunk);
      if (outcome === 'bad') {
        this.#bad(from, transferId, `piece ${chunk.sequence} is damaged or contradicts the ones before it`);
        return;
      }
      this.#options.ack(from, { transferId, next, outcome: 'continue' });
      if (outcome === 'complete') await this.#load(from, chunk);
    } catch (error) {
      this.#bad(from, transferId, error instanceof Error ? error.message : String(error));
    }
  }

  async #load(from: MemberId, chunk: SnapshotChunk): Promise<void> {
    const { startLoading, yieldNow, onReady } = this.#options;
    const { transferId, term } = chunk;
    const { mark, staging } = must(this.#receiver.image, 'the image is complete');
    const loader = startLoading();
    await loadImage((after, bytesMax) => staging.read(after, bytesMax), loader, yieldNow);
    if (this.#stopped) return;
    // Taking it over writes to the log and to the tables; the sender tries again later (W5).
    if (this.#options.wal.spaceLow) throw new Error('the disk is full');
    this.#ready = { from, transferId, next: chunk.sequence + 1, mark, machine: loader.finish(mark.index), staging };
    onReady(from, term, mark);
  }

  #bad(from: MemberId, transferId: number, why: string): void {
    this.#options.onBad(from, why);
    this.#say(from, { transferId, next: 0, outcome: 'refused' });
    this.#discard();
  }

  /** `restore` effect, first half: on disk. Rejects with the error of the store or the log; then the member stops. */
  async install(mark: SnapshotMark, keepEntries: boolean): Promise<void> {
    const { store, wal, stream } = this.#options;
    const ready = must(this.#ready, 'an image lies ready');
    await ready.staging.install(mark);
    await wal.reset(stream, mark, keepEntries);
    await store.installed(stream);
  }

  /** Second half: the state to go on with. The sender is told. */
  takeOver(index: LogIndex): ReplicatedMachine {
    const { from, transferId, next, machine, mark } = must(this.#ready, 'an image lies ready');
    this.#ready = null;
    assert(mark.index === index, 'the image that the core decided on');
    this.#discard();
    this.#say(from, { transferId, next, outcome: 'installed' });
    return machine;
  }

  #say(to: MemberId, ack: SnapshotAck): void {
    this.#said = { to, ack };
    this.#options.ack(to, ack);
  }

  /** `snapshotRefused` effect. `stale`: everything in it is here already, which is as good to the sender as installed. */
  refused(stale: boolean): void {
    const ready = this.#ready;
    if (ready === null) return;
    this.#ready = null;
    const { from, transferId, next } = ready;
    this.#say(from, { transferId, next, outcome: stale ? 'installed' : 'refused' });
    this.#discard();
  }

  /** IR5 */
  #discard(): void {
    const discarded = this.#receiver.discard().catch(() => undefined);
    this.#tail = Promise.all([this.#tail, discarded]).then(() => undefined);
  }

  /** Resolves when nothing is being staged any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#tail;
  }
}
