/**
 * What must hold whatever is applied, checked from outside: by answers, events and reads only, with nothing of the
 * machine's own code.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Applied, ReplicatedMachine } from '../../src/machine/api.ts';
import { createMachine } from '../../src/machine/machine.ts';
import type { RunRow } from '../../src/machine/rows.ts';
import type { AppliedEntry, RejectReason } from '../../src/machine/types.ts';
import { Driver, history, SMALL_LIMITS } from './random-history.ts';
import { RecoveryWatcher } from './recovery-watcher.ts';

const isFinal = (run: RunRow): boolean => run.state === 'CLEAN_EXIT' || run.state === 'HARD_FAILED';

/** Rejections by which a session does not let a request in. */
const AT_THE_DOOR: readonly RejectReason[] = ['SESSION_EXPIRED', 'SESSION_SEQUENCE_FORGOTTEN'];

const REACHED = [
  'ATTEMPT_MISMATCH',
  'FEATURE_LEVEL_IN_USE',
  'FEATURE_LEVEL_TOO_LOW',
  'MEMBER_EXISTS',
  'MEMBER_NOT_FOUND',
  'featureLevelSet',
  'membersChanged',
  'BARRIER_CLOSED',
  'INVALID_ARGUMENT',
  'LIMIT_EXCEEDED',
  'LOOP_EXISTS',
  'LOOP_NOT_FOUND',
  'PHASE_FINAL',
  'PHASE_NOT_RUNNING',
  'PHASE_OUT_OF_ORDER',
  'PHASE_RUNNING',
  'PHASE_UNKNOWN',
  'PLAN_EXISTS',
  'PLAN_NOT_FOUND',
  'ROUND_CLOSED',
  'SESSION_EXPIRED',
  'SESSION_SEQUENCE_FORGOTTEN',
  'STALE_FENCE',
  'a round was dropped',
  'events were compacted',
  'loopCreated',
  'phaseAborted',
  'phaseBegun',
  'phaseCommitted',
  'planRegistered',
  'progressReported',
  'replayed',
  'sessionClosed',
  'sessionKept',
  'sessionOpened',
  'timeAdvanced',
];

/** Cheaper than expect(), of which there would be a million. */
function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`broken: ${what}`);
}

function same(one: unknown, other: unknown, what: string): void {
  const [mine, theirs] = [JSON.stringify(one), JSON.stringify(other)];
  holds(mine === theirs, `${what}: ${mine} is not ${theirs}`);
}

class Watcher {
  readonly seen = new Set<string>();
  readonly #machine: ReplicatedMachine;
  readonly #g = new Map<string, number>();
  readonly #runs = new Map<string, RunRow>();
  readonly #subSteps = new Map<string, string>();
  readonly #ready = new Set<string>();
  readonly #carriedOut = new Map<string, string>();
  readonly #recoveries: RecoveryWatcher;
  #timeMs = 0;
  #lastToken = 0;

  constructor(machine: ReplicatedMachine) {
    this.#machine = machine;
    this.#recoveries = new RecoveryWatcher(machine, this.seen);
  }

  check(entry: AppliedEntry, applied: Applied): void {
    holds(this.#machine.timeMs >= this.#timeMs, 'time does not go back');
    this.#timeMs = this.#machine.timeMs;
    const { rows: loops } = this.#machine.loops(null, 100);
    for (const { loop, g } of loops) this.#checkLoop(loop, g);
    this.#recoveries.check(
      applied,
      loops.flatMap(({ loop, g }) => this.#machine.runs(loop, g)),
    );
    this.#checkEvents(entry, applied);
    this.#checkOnce(entry, applied);
    this.#checkBounds();
    const { result } = applied;
    if (result !== null) this.seen.add(result.ok ? result.value.kind : result.rejection.reason);
    if (applied.replayed) this.seen.add('replayed');
  }

  /** P3: g rises by one, when all runs of the round are final; inside a round phases run in plan order. */
  #checkLoop(loop: string, g: number): void {
    const before = this.#g.get(loop) ?? 1;
    holds(g === before || g === before + 1, `${loop}: g rises by one, from ${before} to ${g}`);
    this.#g.set(loop, g);
    if (g > SMALL_LIMITS.roundsKept + 1) this.seen.add('a round was dropped');
    for (let round = Math.max(1, g - SMALL_LIMITS.roundsKept); round <= g; round++) {
      const runs = this.#machine.runs(loop, round);
      holds(runs.length > 0, 'a round that is kept has runs');
      holds(runs.every(isFinal) === round < g, 'a round is closed when all of its runs are final');
      const open = runs.findIndex((run) => !isFinal(run));
      const later = open < 0 ? [] : runs.slice(open + 1);
      holds(
        later.every(({ state }) => state === 'PENDING'),
        'phases run in plan order',
      );
      for (const run of runs) this.#checkRun(run);
    }
    holds(this.#machine.runs(loop, g - SMALL_LIMITS.roundsKept - 1).length === 0, 'older rounds are gone');
  }

  /** P2, P5: tokens and attempts rise together, a final run never changes, sub-steps stand. */
  #checkRun(run: RunRow): void {
    const key = `${run.loop} ${run.g} ${run.phase}`;
    const before = this.#runs.get(key);
    this.#runs.set(key, run);
    if (before !== undefined) {
      if (isFinal(before)) same(run, before, 'a final run');
      const again = run.token !== before.token;
      holds(run.attempt === before.attempt + (again ? 1 : 0), 'each attempt has one token');
      if (again) {
        holds(run.token > this.#lastToken, 'tokens rise');
        holds(run.checkpoint === before.checkpoint, 'the checkpoint survives');
        this.#lastToken = run.token;
      }
    }
    this.#checkAttempts(run);
    const { rows } = this.#machine.subSteps(run.loop, run.g, run.phase, null, 100);
    holds(rows.length === run.subStepsDone, 'sub-steps are counted');
    // A recovery decides between reports that contradict each other, or takes all of them back (V2, V3).
    if (before?.state === 'FAILED_PARTIAL') this.#forgetSubSteps(key);
    for (const row of rows) {
      const name = `${key} ${row.id}`;
      const is = JSON.stringify(row);
      holds((this.#subSteps.get(name) ?? is) === is, `sub-step ${name} stands`);
      this.#subSteps.set(name, is);
    }
  }

  #forgetSubSteps(run: string): void {
    for (const name of this.#subSteps.keys()) if (name.startsWith(`${run} `)) this.#subSteps.delete(name);
  }

  #checkAttempts(run: RunRow): void {
    const attempts = this.#machine.attempts(run.loop, run.g, run.phase);
    holds(attempts.length === Math.min(run.attempt, SMALL_LIMITS.attemptsKept), 'the newest attempts are kept');
    const running = attempts.filter(({ state }) => state === 'RUNNING').length;
    holds(running === (run.state === 'RUNNING' ? 1 : 0), 'one attempt runs, while the run does');
    const newest = attempts.at(-1);
    holds(
      (newest?.attempt ?? 0) === run.attempt && (newest?.token ?? 0) === run.token,
      'the run names its newest attempt',
    );
  }

  /** P4: events of the entry only, numbered from 0; each round becomes ready once. */
  #checkEvents(entry: AppliedEntry, { events }: Applied): void {
    events.forEach((event, ordinal) => {
      same([event.revision, event.ordinal], [entry.index, ordinal], 'place of an event');
      if (event.kind !== 'phase_ready') return;
      const name = `${event.loop} ${event.g}`;
      holds(!this.#ready.has(name), `${name} becomes ready once`);
      holds(event.g === 1 || this.#ready.has(`${event.loop} ${event.g - 1}`), 'rounds become ready in order');
      this.#ready.add(name);
    });
  }

  /** R6: a request of a session is carried out once; every repetition has its answer. */
  #checkOnce(entry: AppliedEntry, { result, replayed }: Applied): void {
    const command = entry.command;
    if (command === null || command.session === null || result === null || command.body.kind === 'openSession') return;
    const { id, sequence, ackedThrough } = command.session;
    if (sequence === 0) return;
    const name = `${id} ${sequence}`;
    const refused = !result.ok && AT_THE_DOOR.includes(result.rejection.reason);
    const tooFar = sequence - ackedThrough > SMALL_LIMITS.sessionAnswersMax;
    const answer = JSON.stringify(result);
    if (replayed) same(answer, this.#carriedOut.get(name), `repeated answer to ${name}`);
    else if (!refused && !tooFar) {
      holds(!this.#carriedOut.has(name), `${name} is carried out once`);
      this.#carriedOut.set(name, answer);
    }
  }

  #checkBounds(): void {
    const first = this.#machine.firstEventRevision();
    if (first > 1) this.seen.add('events were compacted');
    holds(this.#machine.events(first, 1_000).length <= SMALL_LIMITS.eventHistoryMax, 'the history is bounded');
    holds(this.#machine.sessionCount() <= SMALL_LIMITS.sessionsMax, 'sessions are bounded');
  }
}

/** Reached besides by histories that are mostly about recovery; each arc by itself is in recovery.test.ts. */
const REACHED_IN_RECOVERY: readonly string[] = [
  'RUNNING>INTERRUPTED',
  'INTERRUPTED>RECONCILE',
  'INTERRUPTED>ROLLBACK',
  'INTERRUPTED>HARD_FAILED',
  'RECONCILE>CLEAN_EXIT',
  'RECONCILE>ROLLBACK',
  'ROLLBACK>CLEAN_EXIT',
  'ROLLBACK>BLOCKED_COMPENSATOR',
  'BLOCKED_COMPENSATOR>HARD_FAILED',
  'HARD_FAILED>ROLLBACK',
  'EFFECTS_OPEN',
  'phaseRollingBack',
  'EFFECT_NOT_FOUND',
  'ISSUE_NOT_FOUND',
  'OVERRIDE_NO_TARGET',
  'PARTICIPANT_UNKNOWN',
  'PHASE_INTERRUPTED',
  'RECOVERY_NOT_FOUND',
  'RECOVERY_STATE',
  'STALE_FENCE',
  'agentMarked',
  'alertSettled',
  'documentDeleted',
  'documentPut',
  'effectConfirmed',
  'intentRecorded',
  'issueAcknowledged',
  'overridden',
  'policySet',
  'recoveryAdvanced',
];

function seenIn(domain: boolean, numRuns: number): Set<string> {
  const seen = new Set<string>();
  fc.assert(
    fc.property(history, (steps) => {
      const machine = createMachine(SMALL_LIMITS);
      const driver = new Driver(domain);
      const watcher = new Watcher(machine);
      for (const step of steps) {
        const entry = driver.next(machine, step);
        watcher.check(entry, machine.apply(entry));
      }
      for (const what of watcher.seen) seen.add(what);
    }),
    { numRuns, seed: 1 },
  );
  return seen;
}

describe('invariants over random histories', () => {
  it('hold after every entry, and the histories reach every answer', () => {
    const seen = seenIn(false, 150);
    expect(REACHED.filter((what) => !seen.has(what))).toEqual([]);
  });

  it('hold where phases break and are mended, and the histories go along nearly every arc', () => {
    const seen = seenIn(true, 200);
    expect(REACHED_IN_RECOVERY.filter((what) => !seen.has(what))).toEqual([]);
  });
});
