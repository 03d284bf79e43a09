/** What must hold of detection and recovery after every entry, from outside: by rows, answers and events. */
import type { Applied, ReplicatedMachine } from '../../src/machine/api.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import type { RunRow } from '../../src/machine/rows.ts';
import { SMALL_LIMITS } from './random-history.ts';

/** V1, written down from the requirements, not from the code. */
const LEGAL: Readonly<Record<string, readonly string[]>> = {
  INTERRUPTED: ['RECONCILE', 'ROLLBACK', 'HARD_FAILED'],
  RECONCILE: ['CLEAN_EXIT', 'ROLLBACK'],
  ROLLBACK: ['CLEAN_EXIT', 'BLOCKED_COMPENSATOR'],
  BLOCKED_COMPENSATOR: ['HARD_FAILED', 'ROLLBACK'],
  HARD_FAILED: ['ROLLBACK'],
  CLEAN_EXIT: [],
};
const END = '\u007f';
const ACTIVE: readonly string[] = ['RECONCILE', 'ROLLBACK'];

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`broken: ${what}`);
}

export class RecoveryWatcher {
  readonly #machine: ReplicatedMachine;
  readonly #seen: Set<string>;
  #rows = new Map<string, RecoveryRow>();
  readonly #locks = new Map<string, number>();
  readonly #compensated = new Set<string>();

  /** `seen` takes the arcs that were gone along. */
  constructor(machine: ReplicatedMachine, seen: Set<string>) {
    this.#machine = machine;
    this.#seen = seen;
  }

  check({ events }: Applied, runs: readonly RunRow[]): void {
    this.#checkLocks();
    this.#checkRows();
    this.#checkRuns(runs);
    for (const event of events) {
      const arc = /^(\w+)>(\w+)/.exec(event.outcome);
      if (!event.kind.startsWith('phase_recovery.') || arc === null) continue;
      const [, from = '', to = ''] = arc;
      holds(
        from === 'RUNNING' ? to === 'INTERRUPTED' : (LEGAL[from]?.includes(to) ?? false),
        `${event.outcome} is an arc`,
      );
      holds(event.token % 2 === (ACTIVE.includes(to) ? 1 : 0), `${event.outcome} has token ${event.token}`);
      this.#seen.add(`${from}>${to}`);
    }
    for (const { kind, loop, outcome, revision } of events) {
      if (kind !== 'effect.compensated') continue;
      const key = `${loop} ${outcome.split(' ')[1]}`;
      holds(!this.#compensated.has(`${key} ${revision}`), `${key} is compensated once in an entry`);
      this.#compensated.add(`${key} ${revision}`);
    }
    const { issue, alert, alertPending, agent } = this.#machine.rows;
    holds(
      issue.size <= SMALL_LIMITS.issuesMax && alert.size <= SMALL_LIMITS.alertsMax,
      'issues and alerts are bounded',
    );
    holds(alertPending.size <= alert.size && agent.size <= SMALL_LIMITS.agentsMax, 'agents are bounded');
  }

  /** V4: tokens only rise. */
  #checkLocks(): void {
    for (const [key, { token }] of this.#machine.rows.recoveryLock.range('', END, 100)) {
      holds(token >= (this.#locks.get(key) ?? 0), `the lock of ${key} only rises`);
      this.#locks.set(key, token);
    }
  }

  #checkRows(): void {
    const { recovery, recoveryOpen, recoveryTrace } = this.#machine.rows;
    const rows = new Map(recovery.range('', END, 1_000));
    const active = new Map<string, string>();
    for (const [key, row] of rows) {
      const before = this.#rows.get(key);
      if (before !== undefined && before.state !== row.state && before.attempt === row.attempt) {
        // A timer and a command of one entry may both move it: then the events are checked one by one.
        const direct = LEGAL[before.state]?.includes(row.state) ?? false;
        const twoSteps = LEGAL[before.state]?.some((via) => LEGAL[via]?.includes(row.state)) ?? false;
        holds(direct || twoSteps, `${before.state} to ${row.state}`);
      }
      const lock = `${row.loop} ${row.phase}`;
      const open = recoveryOpen.get(key);
      if (ACTIVE.includes(row.state)) {
        holds(!active.has(lock), `one recovery of ${lock} is active`);
        active.set(lock, key);
        holds(row.token % 2 === 1 && row.token === this.#locks.get(lock), 'an active recovery holds the lock');
        holds(open?.active === true, 'an active recovery is open');
      } else {
        holds(row.token % 2 === 0, 'what is not active has an even token');
        holds((open !== null) === (row.state === 'INTERRUPTED' && row.waiting === ''), 'what may start is open');
      }
      holds((row.blockedUntilMs !== 0) === (row.state === 'BLOCKED_COMPENSATOR'), 'what is blocked has a timer');
    }
    holds(recoveryTrace.size === rows.size, 'each recovery has its trace');
    holds(
      recoveryOpen.range('', END, 1_000).every(([key]) => rows.has(key)),
      'what is open is there',
    );
    for (const [lock, token] of this.#locks)
      holds((token % 2 === 1) === active.has(lock), `${lock} is held while active`);
    this.#rows = rows;
  }

  /** An end leaves nothing behind of which nobody knows, unless people or T_blocked gave the recovery up. */
  #checkNothingHalfDone({ loop, g, position, state }: RunRow): void {
    if (state === 'PENDING' || state === 'RUNNING' || state === 'FAILED_PARTIAL') return;
    const key = `${loop} ${String(g).padStart(16, '0')} ${String(position).padStart(16, '0')}`;
    const { effect } = this.#machine.rows;
    const effects = effect.range(`${key} `, `${key} ${END}`, 1_000).map(([, row]) => row.state);
    if (this.#rows.get(key)?.state === 'HARD_FAILED' || this.#rows.get(key)?.state === 'ROLLBACK') return;
    if (this.#rows.get(key)?.state === 'BLOCKED_COMPENSATOR') return;
    const left = state === 'CLEAN_EXIT' ? ['INTENT'] : ['INTENT', 'CONFIRMED'];
    holds(!effects.some((one) => left.includes(one)), `a run that is ${state} has effects ${effects.join()}`);
    if (effects.length > 0) this.#seen.add(`${state} with effects`);
  }

  /** D1, D6: deadlines are those of the runs that run; FAILED_PARTIAL is what a recovery has not decided on. */
  #checkRuns(runs: readonly RunRow[]): void {
    const { deadline, deadlineOf, attemptRunning } = this.#machine.rows;
    const running = new Set(
      runs.filter(({ state }) => state === 'RUNNING').map((run) => `${run.loop} ${run.g} ${run.phase}`),
    );
    holds(deadline.size === deadlineOf.size, 'deadlines are indexed');
    for (const [, { loop, g, phase }] of deadline.range('', END, 1_000)) {
      holds(running.has(`${loop} ${g} ${phase}`), 'what has a deadline runs');
    }
    holds(attemptRunning.size <= running.size, 'what is listed as running runs');
    for (const run of runs) {
      this.#checkNothingHalfDone(run);
      if (run.state !== 'FAILED_PARTIAL') continue;
      const row = [...this.#rows.values()].find((r) => r.loop === run.loop && r.g === run.g && r.phase === run.phase);
      holds(
        row !== undefined && row.state !== 'CLEAN_EXIT' && row.state !== 'HARD_FAILED',
        'what failed in part has a recovery',
      );
    }
  }
}
