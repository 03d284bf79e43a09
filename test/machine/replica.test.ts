import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Applied, ReplicatedMachine } from '../../src/machine/api.ts';
import { createMachine } from '../../src/machine/machine.ts';
import type { AppliedEntry, Command, CommandBody, SessionRef } from '../../src/machine/types.ts';
import { logIndex, revision, term } from '../../src/types/ids.ts';
import { at, limits, Mirror, token } from './kit.ts';

/** Small bounds, so that every one of them is met within a hundred commands. */
const LIMITS = limits({
  eventHistoryMax: 12,
  sessionsMax: 3,
  sessionAnswersMax: 4,
  loopsMax: 3,
  plansMax: 3,
  subStepsMax: 6,
  roundsKept: 2,
  attemptsKept: 2,
  timerRowsPerApplyMax: 3,
});

/** A step of a random history; what depends on the past (tokens, indexes, time) is worked out when it is applied. */
interface Step {
  readonly pick: number;
  readonly loop: number;
  readonly phase: number;
  readonly roundOffset: number;
  readonly wrongToken: boolean;
  readonly supersede: boolean;
  readonly hardFail: boolean;
  readonly subSteps: readonly number[];
  readonly session: number;
  readonly sequence: number;
  readonly acked: number;
  readonly elapsedMs: number;
  readonly newTerm: boolean;
  readonly text: string;
  readonly caller: string;
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  pick: fc.nat(19),
  loop: fc.nat(3),
  phase: fc.nat(2),
  roundOffset: fc.constantFrom(0, 0, 0, 0, 0, -1, 1),
  wrongToken: fc.constantFrom(false, false, false, false, true),
  supersede: fc.boolean(),
  hardFail: fc.boolean(),
  subSteps: fc.array(fc.nat(8), { maxLength: 3 }),
  session: fc.nat(4),
  sequence: fc.nat(6),
  acked: fc.nat(6),
  elapsedMs: fc.constantFrom(0, 1, 500, 900, -300, 5_000),
  newTerm: fc.constantFrom(false, false, false, false, false, true),
  text: fc.string({ unit: 'grapheme', maxLength: 6 }),
  caller: fc.constantFrom('', 'a', 'b', 'ü'),
});

const PHASES = ['ONE', 'TWO', 'THREE'];
const phases = PHASES.map((name) => ({ name, priorMs: 1_000, slaMs: 0 }));

class Driver {
  readonly log: AppliedEntry[] = [];
  #timeMs = 50_000;
  #term = 1;
  readonly #sessions: number[] = [0];

  next(machine: ReplicatedMachine, step: Step): AppliedEntry {
    this.#timeMs += step.elapsedMs;
    if (step.newTerm) this.#term++;
    const index = logIndex(machine.appliedIndex + 1);
    const entry = { index, term: term(this.#term), command: step.pick === 19 ? null : this.#command(machine, step) };
    if (entry.command?.body.kind === 'openSession') this.#sessions.push(index);
    this.log.push(entry);
    return entry;
  }

  #command(machine: ReplicatedMachine, step: Step): Command {
    const id = this.#sessions.at(-1 - (step.session % this.#sessions.length)) ?? 0;
    const session: SessionRef | null =
      step.session === 4 ? null : { id: id as SessionRef['id'], sequence: step.sequence, ackedThrough: step.acked };
    return { timeMs: at(this.#timeMs), session, caller: step.caller, traceId: '', body: this.#body(machine, step) };
  }

  #body(machine: ReplicatedMachine, step: Step): CommandBody {
    const loop = `loop/${step.loop}`;
    const phase = PHASES[step.phase] ?? 'ONE';
    const g = (machine.loop(loop)?.g ?? 1) + step.roundOffset;
    const run = machine.run(loop, g, phase);
    const fence = token((run?.token ?? 0) + (step.wrongToken ? 1 : 0));
    const where = { loop, g, phase };
    const vectorClock = step.supersede ? ([['z', step.sequence + 1]] as const) : [];
    switch (step.pick) {
      case 0:
        return { kind: 'advanceTime' };
      case 1:
        return { kind: 'openSession', ttlMs: 1_000 };
      case 2:
        return { kind: 'keepAliveSession' };
      case 3:
        return { kind: 'closeSession' };
      case 4:
        return { kind: 'registerPlan', plan: 'short', phases: phases.slice(0, 2 + (step.session % 2)) };
      case 5:
      case 6:
        return { kind: 'createLoop', loop, plan: 'short' };
      case 7:
      case 8:
      case 9:
      case 10: {
        const supersedeAttempt = step.supersede ? (run?.attempt ?? 0) : 0;
        return { kind: 'beginPhase', ref: where, supersedeAttempt, vectorClock };
      }
      case 11:
      case 12:
      case 13: {
        const subSteps = step.subSteps.map((id) => ({ id: `s ${id} ${step.text}`, result: step.text }));
        const checkpoint = step.hardFail ? step.text : null;
        const report = { completed: 1, total: 2, note: step.text, subSteps, checkpoint };
        return { kind: 'reportProgress', ref: where, token: fence, ...report };
      }
      case 14:
        return {
          kind: 'abortPhase',
          ref: where,
          token: fence,
          reason: step.text,
          hardFail: step.hardFail,
          vectorClock,
        };
      default:
        return { kind: 'commitPhase', ref: where, token: fence, result: step.text, vectorClock };
    }
  }
}

/** Everything that can be read of a machine. */
function seen(machine: ReplicatedMachine): unknown {
  const loops = machine.loops(null, 100).rows;
  const runs = loops.flatMap(({ loop, g }) => Array.from({ length: g }, (_, i) => machine.runs(loop, i + 1)).flat());
  return {
    appliedIndex: machine.appliedIndex,
    timeMs: machine.timeMs,
    hash: machine.stateHash(),
    plans: machine.plans(null, 100),
    loops,
    runs,
    attempts: runs.map(({ loop, g, phase }) => machine.attempts(loop, g, phase)),
    subSteps: runs.map(({ loop, g, phase }) => machine.subSteps(loop, g, phase, null, 100)),
    sessions: Array.from({ length: machine.appliedIndex }, (_, i) => machine.session(i as SessionRef['id'])),
    sessionCount: machine.sessionCount(),
    firstEventRevision: machine.firstEventRevision(),
    events: machine.events(revision(0), 1_000),
    nextTimerMs: machine.nextTimerMs(),
  };
}

const history = fc.array(stepArbitrary, { minLength: 1, maxLength: 120 });

describe('R7: replicas', () => {
  it('the same entries give the same answers, events, row changes and hash', () => {
    fc.assert(
      fc.property(history, fc.nat(10), (steps, every) => {
        const [one, other] = [createMachine(LIMITS), createMachine(LIMITS)];
        const driver = new Driver();
        const [mine, theirs] = [new Mirror(), new Mirror()];
        steps.forEach((step, at) => {
          const entry = driver.next(one, step);
          const copy = JSON.parse(JSON.stringify(entry)) as AppliedEntry;
          expect(other.apply(copy)).toEqual(one.apply(entry));
          // One flushes often, the other only at the end: how often is each member's own affair.
          if (at % (every + 1) === 0) mine.take(one);
        });
        expect(one.stateHash()).toBe(other.stateHash());
        mine.take(one);
        theirs.take(other);
        expect([...mine.rows].sort()).toEqual([...theirs.rows].sort());
      }),
      { numRuns: 150 },
    );
  });

  it('SE: a machine loaded from stored rows is the same, and goes on the same', () => {
    fc.assert(
      fc.property(history, fc.nat(100), (steps, percent) => {
        const cut = Math.floor((steps.length * percent) / 100);
        const original = createMachine(LIMITS);
        const driver = new Driver();
        const mirror = new Mirror();
        for (const step of steps.slice(0, cut)) original.apply(driver.next(original, step));
        mirror.take(original);
        const loaded = createMachine(LIMITS);
        loaded.load(original.appliedIndex, [...mirror.rows.values()].reverse());
        expect(loaded.takeChanges()).toEqual([]);
        expect(seen(loaded)).toEqual(seen(original));
        for (const step of steps.slice(cut)) {
          const entry = driver.next(original, step);
          const applied: Applied = original.apply(entry);
          expect(loaded.apply(entry)).toEqual(applied);
          expect(loaded.takeChanges()).toEqual(original.takeChanges());
        }
        expect(seen(loaded)).toEqual(seen(original));
      }),
      { numRuns: 150 },
    );
  });
});
