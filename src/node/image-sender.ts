/**
 * Images on their way to followers (R4): pieces with a window, resumed after a broken stream at the piece that the follower
 * wants next, for as long as the image stays open.
 *
 * IS1  One transfer for each follower. What it sends is of one image; another transfer has another id.
 * IS2  At most `chunksInFlight` pieces are out: heartbeats share the stream with them.
 */
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { SnapshotSource } from '../snapshot/source.ts';
import type { StoreImage } from '../store/types.ts';
import type { LogIndex, MemberId, StreamId, Term } from '../types/ids.ts';
import { SNAPSHOT_IDLE_MS_MAX } from '../types/limits.ts';
import type { Envelope, SnapshotAck, TransferStatus } from './types.ts';

/** A transfer that failed is not started anew before that, milliseconds. */
const RETRY_MS = 1_000;

export interface ImageSenderOptions {
  readonly stream: StreamId;
  readonly clock: Clock;
  readonly random: Random;
  readonly chunkBytes: number;
  readonly chunksInFlight: number;
  /** Sent again from the wanted piece on when nothing was acknowledged for so long, milliseconds. */
  readonly resendMs: number;
  readonly term: () => Term;
  readonly openImage: () => Promise<StoreImage | null>;
  readonly send: (to: MemberId, envelope: Envelope) => boolean;
  readonly onEnded: (
    to: MemberId,
    result: { readonly installed: boolean; readonly index: LogIndex; readonly bytes: number; readonly why: string },
  ) => void;
}

interface Transfer {
  readonly to: MemberId;
  readonly id: number;
  source: SnapshotSource | null;
  image: StoreImage | null;
  /** Wanted by the follower: everything before it is there. */
  acked: number;
  /** To be sent next. */
  next: number;
  /** Sequence of the last piece, once it is known. */
  last: number | null;
  pumping: boolean;
  broken: boolean;
  resumed: number;
  bytes: number;
  progressMs: number;
  resentMs: number;
  over: boolean;
}

export class ImageSender {
  readonly #options: ImageSenderOptions;
  readonly #transfers = new Map<MemberId, Transfer>();

  constructor(options: ImageSenderOptions) {
    this.#options = options;
  }

  /** Marks of the images that are open: the log keeps what comes after them. */
  get marks(): readonly LogIndex[] {
    return [...this.#transfers.values()].flatMap((transfer) => transfer.image?.mark.index ?? []);
  }
  /** True while one is about to be opened, with a mark that is not known yet. */
  get opening(): boolean {
    return [...this.#transfers.values()].some((transfer) => transfer.image === null);
  }

  status(): readonly TransferStatus[] {
    return [...this.#transfers.values()]
      .flatMap(({ to, image, acked, bytes, resumed }) =>
        image === null ? [] : [{ to, index: image.mark.index, chunksAcked: acked, bytesSent: bytes, resumed }],
      )
      .sort((a, b) => (a.to < b.to ? -1 : 1));
  }

  /** `sendSnapshot` effect. One that runs already is of no use any more: the follower's process, or its log, is another. */
  start(to: MemberId): void {
    const older = this.#transfers.get(to);
    if (older !== undefined) this.#close(older);
    const { random, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const transfer: Transfer = {
      to,
      id: 1 + random.below(2 ** 47),
      source: null,
      image: null,
      acked: 0,
      next: 0,
      last: null,
      pumping: false,
      broken: false,
      resumed: 0,
      bytes: 0,
      progressMs: nowMs,
      resentMs: nowMs,
      over: false,
    };
    this.#transfers.set(to, transfer);
    this.#open(transfer).catch((error: unknown) => this.#end(transfer, false, String(error)));
  }

  async #open(transfer: Transfer): Promise<void> {
    const image = await this.#options.openImage();
    if (image === null || transfer.over) {
      await image?.close();
      if (transfer.over) return;
      this.#end(transfer, false, 'no image can be opened here');
      return;
    }
    transfer.image = image;
    transfer.source = new SnapshotSource(image, this.#options.chunkBytes);
    this.#pump(transfer);
  }

  acked(from: MemberId, ack: SnapshotAck): void {
    const transfer = this.#transfers.get(from);
    if (transfer === undefined || transfer.id !== ack.transferId) return;
    if (ack.outcome !== 'continue') {
      this.#end(transfer, ack.outcome === 'installed', `${from} refused the image`);
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    if (ack.next > transfer.acked) {
      transfer.acked = ack.next;
      // What went out before a stream broke may be answered over the next one: those pieces are not needed a second time. Of an earlier
      // process of the follower nothing comes after the first word of the next one: its stream is closed before that one is taken.
      transfer.next = Math.max(transfer.next, ack.next);
      transfer.progressMs = nowMs;
      transfer.resentMs = nowMs;
      transfer.source?.acknowledged(ack.next);
    } else if (ack.next === 0 && transfer.acked > 0) {
      // It lost what it had staged: its process was started anew.
      transfer.acked = 0;
      transfer.next = 0;
    }
    this.#pump(transfer);
  }

  unreachable(peer: MemberId): void {
    const transfer = this.#transfers.get(peer);
    if (transfer !== undefined) transfer.broken = true;
  }

  /** Something came from `peer`: goes on where a broken stream stopped it. */
  heard(peer: MemberId): void {
    const transfer = this.#transfers.get(peer);
    if (transfer?.broken !== true) return;
    transfer.broken = false;
    transfer.resumed += 1;
    this.#resend(transfer);
  }

  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const transfer of [...this.#transfers.values()]) {
      if (nowMs - transfer.progressMs >= SNAPSHOT_IDLE_MS_MAX) {
        this.#end(transfer, false, `${transfer.to} did not answer for ${SNAPSHOT_IDLE_MS_MAX} ms`);
      } else if (nowMs - transfer.resentMs >= this.#options.resendMs && !transfer.broken) this.#resend(transfer);
    }
  }

  /** This member leads no more, or stops. */
  stopAll(): void {
    for (const transfer of [...this.#transfers.values()]) this.#close(transfer);
  }

  #resend(transfer: Transfer): void {
    // When all of it was acknowledged, the last piece asks how the follower came along: its process may be another.
    transfer.next = Math.min(transfer.acked, transfer.last ?? transfer.acked);
    transfer.resentMs = this.#options.clock.monotonicMs();
    this.#pump(transfer);
  }

  #pump(transfer: Transfer): void {
    if (transfer.pumping || transfer.source === null) return;
    transfer.pumping = true;
    this.#sendWindow(transfer, transfer.source)
      .catch((error: unknown) => this.#end(transfer, false, String(error)))
      .finally(() => {
        transfer.pumping = false;
      });
  }

  async #sendWindow(transfer: Transfer, source: SnapshotSource): Promise<void> {
    const { stream, chunksInFlight, term, send } = this.#options;
    while (!transfer.over && !transfer.broken) {
      const sequence = transfer.next;
      if (sequence >= transfer.acked + chunksInFlight || (transfer.last !== null && sequence > transfer.last)) return;
      const chunk = await source.chunk(sequence);
      if (transfer.over) return;
      // Moved meanwhile: that piece goes first.
      if (transfer.next !== sequence) continue;
      if (chunk === null) {
        this.#end(transfer, false, `piece ${sequence} cannot be made again`);
        return;
      }
      const { data, last } = chunk;
      if (last) transfer.last = sequence;
      const { id: transferId, to, image } = transfer;
      if (image === null) return;
      const sent = send(to, {
        kind: 'snapshotChunk',
        stream,
        transferId,
        term: term(),
        mark: image.mark,
        sequence,
        last,
        data,
      });
      if (!sent) return;
      transfer.next = sequence + 1;
      transfer.bytes += data.length;
    }
  }

  #end(transfer: Transfer, installed: boolean, why: string): void {
    if (transfer.over) return;
    const index = transfer.image?.mark.index ?? (0 as LogIndex);
    const { to, bytes } = transfer;
    transfer.over = true;
    const tell = (): void => {
      // Replaced meanwhile: the newer one answers.
      if (this.#transfers.get(to) !== transfer) return;
      this.#close(transfer);
      this.#options.onEnded(to, { installed, index, bytes, why });
    };
    // Not at once: what failed now would most likely fail again, in a tight loop.
    if (installed) tell();
    else this.#options.clock.after(RETRY_MS, tell);
  }

  #close(transfer: Transfer): void {
    transfer.over = true;
    if (this.#transfers.get(transfer.to) === transfer) this.#transfers.delete(transfer.to);
    const { image } = transfer;
    transfer.image = null;
    // A reading that is under way ends with an error, which is looked at nowhere any more.
    void image?.close().catch(() => undefined);
  }
}
