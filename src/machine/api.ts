/** What the rest of the member sees of the state machine. Implemented by `machine.ts`. */
import type { ClusterTimeMs, LogIndex, Revision, SessionId } from '../types/ids.ts';
import type { DomainTables } from './domain-tables.ts';
import type { AttemptRow, FeatureRow, LoopRow, MemberRow, PlanRow, RunRow, SessionRow, SubStepRow } from './rows.ts';
import type { Table } from './table.ts';
import type { AppliedEntry, CommandResult, MachineEvent, RowChange, StoredRow } from './types.ts';

/** A page of a listing: rows after `after` in key order, and the key to go on from, or null at the end. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}

/** A table as readers see it. `range`: rows with `from` ≤ key < `to`, in key order, at most `limit`. */
export interface ReadableTable<Row> {
  readonly size: number;
  get(key: string): Row | null;
  range(from: string, to: string, limit: number): readonly (readonly [key: string, row: Row])[];
}

export type DomainRows = {
  readonly [Name in keyof DomainTables]: DomainTables[Name] extends Table<infer Row> ? ReadableTable<Row> : never;
};

/** Reads. All of them see the state after `appliedIndex`, nothing newer. */
export interface MachineView {
  readonly appliedIndex: LogIndex;
  readonly timeMs: ClusterTimeMs;
  /** 32 hexadecimal digits over every row of every table; equal on all replicas at the same applied index (R7). */
  stateHash(): string;
  plan(plan: string): PlanRow | null;
  plans(after: string | null, limit: number): Page<PlanRow>;
  loop(loop: string): LoopRow | null;
  loops(after: string | null, limit: number): Page<LoopRow>;
  /** Runs of one round in plan order; empty for a round that is not kept. */
  runs(loop: string, g: number): readonly RunRow[];
  run(loop: string, g: number, phase: string): RunRow | null;
  attempts(loop: string, g: number, phase: string): readonly AttemptRow[];
  subSteps(loop: string, g: number, phase: string, after: string | null, limit: number): Page<SubStepRow>;
  /** Members that were ever added, promoted or removed by command, sorted by id; the first ones of a cluster have no row. */
  members(): readonly MemberRow[];
  /** Level 1, and not pinned, as long as nothing was set. */
  featureLevel(): FeatureRow;
  /** Tables of feature level 3, to be read only; each domain has functions over them in its `view.ts`. */
  readonly rows: DomainRows;
  session(id: SessionId): SessionRow | null;
  sessionCount(): number;
  /** First revision that a watch can still start from; earlier ones are compacted (P4). */
  firstEventRevision(): Revision;
  /** Events with `from` ≤ revision, in (revision, ordinal) order, whole revisions only, until `limit` is reached. */
  events(from: Revision, limit: number): readonly MachineEvent[];
  /**
   * When the next timer is due, or null; the leader proposes `advanceTime` then. May be early (a session that was renewed)
   * and may be in the past (work left over by the bound of one apply); proposing again until it is not does the rest.
   */
  nextTimerMs(): ClusterTimeMs | null;
}

export interface Applied {
  /** null for entries without a command. */
  readonly result: CommandResult | null;
  /** true: answered from the session's memory; nothing but the session's own row (its renewal) was changed. */
  readonly replayed: boolean;
  readonly events: readonly MachineEvent[];
}

export interface ReplicatedMachine extends MachineView {
  /**
   * Applies the next entry: synchronous, total, deterministic. `entry.index` is appliedIndex + 1 (asserted).
   * A command that cannot be carried out gives a typed rejection and changes nothing but the state time, what was due
   * by then, and the session's memory. Throws only for a bug or an entry that this version does not know.
   */
  apply(entry: AppliedEntry): Applied;
  /**
   * Row changes since the last call, last value per key, in table and key order, for one store batch: to be written with
   * `appliedIndex`, which they name themselves, too, so that rows and index of two batches are never taken for one state.
   */
  takeChanges(): readonly RowChange[];
}

/**
 * Builds a machine from stored rows, a page at a time, so that the caller can let other work run in between (a state of hundreds
 * of megabytes takes seconds). Made by `startLoading`. Both calls throw `StateError` for rows that are not a state: damaged, or of
 * a newer version.
 */
export interface MachineLoader {
  add(rows: Iterable<StoredRow>): void;
  /**
   * The machine after entry `appliedIndex`. No rows and index 0: a new one. The rows must add up to the state hash that was
   * stored with them, and be those of this index; there are none only at index 0.
   */
  finish(appliedIndex: LogIndex): ReplicatedMachine;
}
