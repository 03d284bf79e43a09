/** What a nemesis is: data that says what it needs and how long it lasts, and two actions. */
import type { Cluster } from '../cluster/cluster.ts';
import type { FakeClock } from '../system/faketime.ts';
import type { Relay } from '../system/relay.ts';
import type { Tool } from '../system/tools.ts';

/** One fault of a schedule: all that is drawn is drawn beforehand, so that a schedule can be run again. */
export interface Fault {
  readonly nemesis: string;
  /** Since the run began. */
  readonly startMs: number;
  readonly lengthMs: number;
  /** All slots of the cluster in a drawn order: whoever needs some takes the first ones that are free. */
  readonly order: readonly number[];
  /** In [0, 1), for whatever else has to be drawn. */
  readonly draws: readonly number[];
}

/** What a fault did. */
export interface Injected {
  /** For the record: who or what was broken, as plain JSON. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Slots that cannot lead while it lasts. */
  readonly disabled: readonly number[];
  /**
   * Makes it good again. Called once, at the end of the fault or of the run, whichever is first. Resolves with a string where it turned
   * out to be no fault: then it counts as skipped.
   */
  readonly end: () => Promise<unknown>;
}

/** A fault that cannot be injected here and now: it is counted as skipped. */
export class SkippedError extends Error {
  override readonly name = 'SkippedError';
}

export interface NemesisContext {
  readonly cluster: Cluster;
  /** Delays what members send each other; null where it cannot. */
  readonly relay: Relay | null;
  /** Wall clocks by slot; null: the members have true ones. */
  readonly clocks: readonly FakeClock[] | null;
  /** Entry of the command line. */
  readonly cli: string;
  /** Members whose process or disk a fault has to itself, of those that are asked for; the rest is taken. */
  readonly claim: (wanted: readonly number[], count: number) => readonly number[];
  /** As `claim`, while nobody else changes who a member is: damage and changes of members. */
  readonly claimExclusive: (wanted: readonly number[], count: number) => readonly number[];
  readonly release: (slots: readonly number[]) => void;
  /** Programs that run beside the cluster, to be ended on every way out. */
  readonly background: (command: readonly string[]) => { stop(): Promise<void>; readonly running: boolean };
  readonly log: (line: string) => void;
  /** Something is wrong with the cluster that only the nemesis could see: it did not take a member back, and the like. */
  readonly finding: (detail: string) => void;
}

export interface Nemesis {
  readonly name: string;
  readonly describe: string;
  readonly needs: readonly Tool[];
  /** Shortest and longest, milliseconds. */
  readonly lengthMs: readonly [number, number];
  /** Fewest members of a cluster that it makes sense with; default 3. */
  readonly membersMin?: number;
  /** Rejects with {@link SkippedError} when it cannot be done now. */
  readonly begin: (context: NemesisContext, fault: Fault) => Promise<Injected>;
}

/** How many members may fail: the largest minority. */
export function minority(count: number): number {
  return Math.floor((count - 1) / 2);
}

export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** Number `index` of what was drawn for the fault. */
export function draw(fault: Fault, index: number): number {
  return fault.draws[index % fault.draws.length] ?? 0;
}
