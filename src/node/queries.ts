/** Reads and watches of one stream: who waits for which read point, and who follows the history of events. */
import { EventHub } from '../events/hub.ts';
import type { MachineView } from '../machine/api.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogIndex, Revision } from '../types/ids.ts';
import * as outcomes from './outcomes.ts';
import { type ReadAnswer, Reads } from './reads.ts';
import type { ReadConsistency, ReadOutcome, WatchFeed } from './types.ts';

export interface QueriesOptions {
  readonly clock: Clock;
  readonly machine: () => MachineView;
  /** Hands a batch of reads to the core. */
  readonly readIndex: (requestId: number, lease: boolean, nowMs: number) => void;
  readonly retryAfterMs: () => number;
}

export class Queries {
  readonly #options: QueriesOptions;
  readonly #reads = new Reads();
  readonly #hub = new EventHub();
  #watchesClosed = false;
  #stopped = false;

  constructor(options: QueriesOptions) {
    this.#options = options;
  }

  get watches(): number {
    return this.#hub.size;
  }

  read(deadlineMs: number, consistency: ReadConsistency): Promise<ReadOutcome> {
    if (this.#stopped) return Promise.resolve(outcomes.shuttingDown());
    const { clock, machine, retryAfterMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (consistency.kind === 'bounded' && nowMs - this.#reads.freshMs <= consistency.maxStalenessMs) {
      return Promise.resolve({ kind: 'ready', view: machine() });
    }
    const lease = consistency.kind === 'lease';
    return new Promise((resolve) => {
      const settle = (answer: ReadAnswer): void => resolve(this.#outcome(answer));
      const read = { settle, deadlineMs: nowMs + deadlineMs };
      const added = this.#reads.add(read, lease, () => clock.defer(() => this.#flush(lease)));
      if (!added) resolve(outcomes.overloaded(retryAfterMs()));
    });
  }

  #flush(lease: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    const requestId = this.#reads.take(lease, nowMs);
    if (requestId !== null) this.#options.readIndex(requestId, lease, nowMs);
  }

  #outcome(answer: ReadAnswer): ReadOutcome {
    switch (answer) {
      case 'ready':
        return { kind: 'ready', view: this.#options.machine() };
      case 'refused':
      case 'timed_out':
        return this.#stopped ? outcomes.shuttingDown() : outcomes.noLeader();
    }
  }

  // ------------------------------------------------------------------------------------------ told by the group

  confirmed(requestId: number, index: LogIndex): void {
    this.#reads.confirmed(requestId, index, this.#options.machine().appliedIndex);
  }
  refused(requestId: number): void {
    this.#reads.refused(requestId);
  }
  /** Entries were applied. */
  applied(): void {
    this.#reads.applied(this.#options.machine().appliedIndex);
  }
  /** The events of one entry. */
  publish(events: readonly MachineEvent[]): void {
    if (events.length > 0) this.#hub.publish(events);
  }
  /** The state was replaced as a whole. */
  replaced(): void {
    this.#hub.replaced(this.#options.machine());
    this.applied();
  }
  expire(nowMs: number): void {
    this.#reads.expire(nowMs);
  }

  // ------------------------------------------------------------------------------------------ watches and the end

  watch(from: Revision): WatchFeed | null {
    return this.#stopped || this.#watchesClosed ? null : this.#hub.open(from, this.#options.machine());
  }

  /** Ends every watch, so that its reader goes on at another member; no new one is opened. */
  closeWatches(): void {
    this.#watchesClosed = true;
    this.#hub.close();
  }

  end(): void {
    this.#stopped = true;
    this.#reads.settleAll('refused');
    this.closeWatches();
  }
}
