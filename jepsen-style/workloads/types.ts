/** What a workload is: some logical processes, and what each of them does again and again. */
import type { QuorateClient } from '../../src/client/client.ts';
import type { Random } from '../random.ts';
import type { Actor, History, RunClock } from '../record/history.ts';
import type { Pinned } from './pinned.ts';

export interface WorkloadContext {
  readonly history: History;
  readonly random: Random;
  readonly clock: RunClock;
  /** Of all members. */
  readonly endpoints: readonly string[];
  /** The folder of the run. */
  readonly dir: string;
  /** Where members reach servers of this process. */
  readonly hostAddress: string;
  /** As users have it: it finds the leader. Closed at the end of the run. */
  readonly connect: (caller: string) => Promise<QuorateClient>;
  /** It asks one member only, whatever that says. Closed at the end of the run. */
  readonly pin: (slot: number, caller: string) => Pinned;
  readonly log: (line: string) => void;
  /** What no checker has to find out: an answer that is wrong by itself. */
  readonly finding: (detail: string) => void;
}

export interface Running {
  /** One operation of the process, or a few that belong together. Whatever becomes of them is in the history, not thrown. */
  readonly step: (actor: Actor) => Promise<void>;
  /** After the last fault, with a cluster that is well: what has to be read at the end, by a process of its own. */
  readonly finish: (actor: Actor) => Promise<void>;
}

export interface Workload {
  readonly name: string;
  readonly describe: string;
  readonly threads: number;
  readonly setUp: (context: WorkloadContext) => Promise<Running>;
}

/** Overall time for a call while faults are about, milliseconds. */
export const CALL_MS = 5_000;
/** For what has to succeed: before the first fault, and after the last one. */
export const PATIENT_MS = 60_000;
/**
 * Of every session: the longest that there is. The time of the cluster is that of a leader's wall clock, which may be set ahead by
 * hours, and sessions are not to end of that.
 */
export const SESSION_MS = 24 * 60 * 60 * 1000;
