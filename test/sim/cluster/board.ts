/** What the clients know together of their loops; often out of date, which is the point. */
import type { Rejection } from '../../../src/machine/types.ts';

/** Not the default plan: short rounds pass many barriers. */
export const SHORT_PLAN = 'short';
export const SHORT_PHASES = ['ONE', 'TWO'];
export const DEFAULT_PHASES = ['ANALYZE', 'BLUEPRINT', 'CONSTRUCT', 'VALIDATE', 'IDLE'];

export interface Job {
  readonly loop: string;
  readonly phases: readonly string[];
  g: number;
  /** Index in `phases`. */
  position: number;
  /** Newest attempt known; 0: none runs as far as is known. */
  attempt: number;
  /** null when nobody here holds it. */
  token: number | null;
}

export class Board {
  readonly jobs: Job[] = [];
  /** Log indexes that clients were told of, each higher than the one before, and when. */
  readonly #known: { readonly index: number; readonly atUs: number }[] = [];
  /** Clients finish what they are at and begin nothing new. */
  ending = false;

  learnIndex(index: number, nowUs: number): void {
    if (index > (this.#known.at(-1)?.index ?? 0)) this.#known.push({ index, atUs: nowUs });
  }

  /** The highest index that a client had been told of at that time. */
  knownAt(timeUs: number): number {
    return this.#known.findLast(({ atUs }) => atUs <= timeUs)?.index ?? 0;
  }
}

export function phaseOf(job: Job): string {
  return job.phases[job.position] ?? '';
}

export function moveTo(job: Job, g: number): void {
  const same = g === job.g;
  job.position = same ? (job.position + 1) % job.phases.length : 0;
  job.g = g;
  job.attempt = 0;
  job.token = null;
}

/** Rejections say what the state is; false when there is no sense in going on with the job. */
export function learnRejection(job: Job, { reason, details }: Rejection): boolean {
  switch (reason) {
    case 'PHASE_RUNNING':
    case 'STALE_FENCE':
    case 'ATTEMPT_MISMATCH':
    case 'PHASE_NOT_RUNNING': {
      const running = details.state === undefined || details.state === 'RUNNING';
      job.attempt = running ? Number(details.attempt ?? details.currentAttempt ?? 0) : 0;
      job.token = null;
      return true;
    }
    case 'PHASE_FINAL':
      moveTo(job, job.g);
      return true;
    case 'ROUND_CLOSED':
    case 'BARRIER_CLOSED':
      job.g = Number(details.openG ?? job.g);
      job.position = 0;
      job.attempt = 0;
      job.token = null;
      return true;
    case 'PHASE_OUT_OF_ORDER':
      job.position = Math.max(0, job.phases.indexOf(details.openPhase ?? ''));
      job.attempt = 0;
      job.token = null;
      return true;
    default:
      return false;
  }
}
