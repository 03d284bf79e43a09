/**
 * Drives every recovery of a stream to its end (V1–V7) while this member leads it: takes over what an older leader began, starts
 * what may start by itself, does the steps in their order, calls compensators. All that it goes by is in the replicated state.
 */
import { setMaxListeners } from 'node:events';
import type { DomainRows } from '../machine/api.ts';
import type { Compensator } from '../machine/ledger/types.ts';
import type { CommandBody, MachineEvent, Rejection } from '../machine/types.ts';
import type { LeaderPort, LeaderWork } from '../node/leader-work.ts';
import type { CallOutcome, CompensationCall, Hook } from './hook.ts';
import { RecoveryReign } from './recovery-reign.ts';
import type { WorkerQueues } from './worker-queues.ts';

/** A call of a compensator that has ended; for metrics, traces and the operator's log. */
export interface CompensatorCalled {
  readonly kind: Compensator['kind'];
  readonly call: CompensationCall;
  readonly outcome: CallOutcome;
  readonly durationMs: number;
}

/** Whether the documents that a run has touched are as their schemas want them (V2); `detail` is for people. */
export type CheckDocuments = (
  rows: DomainRows,
  runKey: string,
) => Promise<{ readonly ok: boolean; readonly detail: string }>;

export interface RecoveryDriverDeps {
  readonly hooks: Readonly<Record<Compensator['kind'], Hook>>;
  /** Opened while this member leads. */
  readonly workers: Pick<WorkerQueues, 'open' | 'close'>;
  readonly checkDocuments: CheckDocuments;
  /** HTTP and gRPC calls at a time. */
  readonly callsMax?: number;
  readonly onCall?: (called: CompensatorCalled) => void;
  /** The state refused a command: somebody was faster, an override mostly. */
  readonly onRefused?: (body: CommandBody, rejection: Rejection) => void;
  /** Something threw that must not. The recovery is tried again. */
  readonly onBug: (error: unknown) => void;
}

export class RecoveryDriver implements LeaderWork {
  readonly #deps: RecoveryDriverDeps;
  readonly #stop = new AbortController();
  #reign: RecoveryReign | null = null;

  constructor(deps: RecoveryDriverDeps) {
    this.#deps = deps;
    // One listener for each call that is under way; they are bounded.
    setMaxListeners(0, this.#stop.signal);
  }

  lead(port: LeaderPort): void {
    if (this.#stop.signal.aborted) return;
    this.#deps.workers.open();
    this.#reign = new RecoveryReign(port, this.#deps, this.#stop.signal);
  }

  tick(nowMs: number): void {
    this.#reign?.tick(nowMs);
  }

  applied(events: readonly MachineEvent[]): void {
    this.#reign?.applied(events);
  }

  depose(): void {
    this.#reign = null;
    this.#deps.workers.close();
  }

  /** The member stops: calls under way are broken off. Their keys make the next leader's calls safe. */
  close(): void {
    this.#stop.abort();
    this.depose();
  }
}
