/**
 * What this process writes to its disk for what clients propose (W6), and how long its fsyncs take. All since the process
 * began; read when somebody asks for the status.
 */
import type { IoUsage } from '../api/context.ts';
import type { Entry } from '../raft/types.ts';
import type { LogIndex } from '../types/ids.ts';
import type { WalEvent } from '../wal/types.ts';

/** Newest fsyncs that the percentiles are of. */
const FSYNCS_KEPT = 1024;
/** getrusage(2) on Linux counts blocks of this size, whatever the file system's own is. */
const BLOCK_BYTES = 512;

/** Who is told of the same. */
export interface IoListener {
  begin(lastIndex: LogIndex): void;
  walEvent(event: WalEvent): void;
}

export class IoMeter {
  readonly #blocksWritten: () => number;
  readonly #also: IoListener | null;
  /** Milliseconds; a ring once it is full. */
  readonly #fsyncMs: number[] = [];
  #fsyncs = 0;
  #bytesProposed = 0;
  #replayedTo: LogIndex | null = null;

  /**
   * `blocksWritten`: blocks of 512 bytes that the process has caused to be written. `process.resourceUsage().fsWrite` is that on
   * Linux (pages that it made dirty, as `write_bytes` in /proc/PID/io); other systems count otherwise, or not at all.
   */
  constructor(blocksWritten: () => number = () => process.resourceUsage().fsWrite, also: IoListener | null = null) {
    this.#blocksWritten = blocksWritten;
    this.#also = also;
  }

  /** Entries up to `lastIndex` were in the log when it was opened: they are applied again, and not written again. */
  begin(lastIndex: LogIndex): void {
    this.#replayedTo = lastIndex;
    this.#also?.begin(lastIndex);
  }

  /** Every entry that is applied. What clients proposed is in commands; the rest is the member's own. */
  applied({ index, kind, payload }: Pick<Entry, 'index' | 'kind' | 'payload'>): void {
    if (this.#replayedTo === null || index <= this.#replayedTo || kind !== 'command') return;
    this.#bytesProposed += payload.length;
  }

  observe(event: WalEvent): void {
    this.#also?.walEvent(event);
    if (event.kind !== 'synced') return;
    this.#fsyncMs[this.#fsyncs % FSYNCS_KEPT] = event.durationMs;
    this.#fsyncs += 1;
  }

  usage(): IoUsage {
    const bytesWritten = this.#blocksWritten() * BLOCK_BYTES;
    const sorted = [...this.#fsyncMs].sort((a, b) => a - b);
    return {
      bytesProposed: this.#bytesProposed,
      bytesWritten,
      maxIoOverheadRatio: this.#bytesProposed === 0 ? 0 : bytesWritten / this.#bytesProposed,
      fsyncP50Ms: percentile(sorted, 50),
      fsyncP99Ms: percentile(sorted, 99),
      fsyncs: this.#fsyncs,
    };
  }
}

/** Nearest rank; 0 of nothing. */
function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
}
