/** Random histories for the machine: steps from fast-check, made into commands that fit the state they meet. */
import fc from 'fast-check';
import type { ReplicatedMachine } from '../../src/machine/api.ts';
import type { RunRow } from '../../src/machine/rows.ts';
import type {
  AppliedEntry,
  Command,
  CommandBody,
  MemberChange,
  PhaseRef,
  SessionRef,
} from '../../src/machine/types.ts';
import { logIndex, type MemberId, term } from '../../src/types/ids.ts';
import { at, limits, token } from './kit.ts';
import { DOMAIN_KINDS, domainBody } from './random-domain.ts';

/** Small bounds, so that every one of them is met within a hundred commands. */
export const SMALL_LIMITS = limits({
  eventHistoryMax: 12,
  sessionsMax: 3,
  sessionAnswersMax: 4,
  loopsMax: 3,
  memberRowsMax: 3,
  plansMax: 3,
  subStepsMax: 6,
  roundsKept: 1,
  attemptsKept: 2,
  timerRowsPerApplyMax: 3,
  agentsMax: 2,
  issuesMax: 4,
  alertsMax: 3,
});

/** A step of a random history; what depends on the past (tokens, indexes, time) is worked out when it is applied. */
export interface Step {
  readonly pick: number;
  readonly loop: number;
  /** null: the first phase that is not final. */
  readonly phase: number | null;
  readonly roundOffset: number;
  readonly wrongToken: boolean;
  readonly supersede: boolean;
  readonly hardFail: boolean;
  readonly subSteps: readonly number[];
  /** How many sessions back; null: none. */
  readonly session: number | null;
  /** Relative to the next sequence that was not used. */
  readonly sequence: number;
  /** How far behind the sequence. */
  readonly acked: number;
  readonly elapsedMs: number;
  readonly newTerm: boolean;
  readonly text: string;
  readonly caller: string;
  /** What a command of feature level 3 is about (random-domain.ts); null: a command of the levels below. */
  readonly domain: number | null;
}

const seldom = fc.integer({ min: 0, max: 11 }).map((n) => n === 0);

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  pick: fc.nat(32),
  loop: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 1, 2),
  phase: fc.constantFrom(null, null, null, null, null, 0, 1, 2),
  roundOffset: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, -1, 1),
  wrongToken: seldom,
  supersede: fc.boolean(),
  hardFail: fc.boolean(),
  subSteps: fc.array(fc.nat(8), { maxLength: 3 }),
  session: fc.constantFrom(null, null, null, 0, 0, 0, 1, 2),
  sequence: fc.constantFrom(0, 0, 0, 0, 0, -1, -2, -3, 2, 9),
  acked: fc.constantFrom(1, 1, 1, 1, 2, 3, 0, 4, 7),
  elapsedMs: fc.constantFrom(0, 1, 1, 10, 100, 400, -300, 5_000),
  newTerm: seldom,
  text: fc.string({ unit: 'grapheme', maxLength: 6 }),
  caller: fc.constantFrom('', 'a', 'b', 'ü'),
  domain: fc.option(fc.nat(DOMAIN_KINDS - 1), { freq: 2 }),
});

export const PHASES = ['ONE', 'TWO', 'THREE'];
const phases = PHASES.map((name) => ({ name, priorMs: 1_000, slaMs: 0 }));

export class Driver {
  readonly log: AppliedEntry[] = [];
  #timeMs = 50_000;
  #term = 1;
  readonly #sessions: number[] = [];
  readonly #sequences = new Map<number, number>();
  /** Commands that come first. */
  readonly #first: CommandBody[];
  readonly #domain: boolean;

  /** `domain`: mostly commands of feature level 3, in a cluster that is there already. */
  constructor(domain = false) {
    this.#domain = domain;
    this.#first = domain ? domainSetup() : [];
  }

  next(machine: ReplicatedMachine, step: Step): AppliedEntry {
    this.#timeMs += step.elapsedMs;
    if (step.newTerm) this.#term++;
    const index = logIndex(machine.appliedIndex + 1);
    const entry = {
      index,
      term: term(this.#term),
      command: step.pick === 29 && !this.#domain ? null : this.#command(machine, step),
    };
    if (entry.command?.body.kind === 'openSession') this.#sessions.push(index);
    this.log.push(entry);
    return entry;
  }

  #command(machine: ReplicatedMachine, step: Step): Command {
    const session = step.session === null ? null : this.#session(step, step.session);
    return { timeMs: at(this.#timeMs), session, caller: step.caller, traceId: '', body: this.#body(machine, step) };
  }

  #session(step: Step, back: number): SessionRef {
    const id = this.#sessions.at(-1 - back) ?? 999;
    const next = this.#sequences.get(id) ?? 1;
    const sequence = Math.max(0, next + step.sequence);
    if (sequence >= next) this.#sequences.set(id, sequence + 1);
    return { id: id as SessionRef['id'], sequence, ackedThrough: Math.max(0, sequence - step.acked) };
  }

  #body(machine: ReplicatedMachine, step: Step): CommandBody {
    const first = this.#first.shift();
    if (first !== undefined) return first;
    const { where, run } = this.#whereOf(machine, step);
    const domain = this.#domain && step.pick % 3 !== 0 ? (step.domain ?? step.pick % DOMAIN_KINDS) : step.domain;
    if (domain !== null && run !== null && machine.featureLevel().level >= 3) {
      return domainBody(machine, { ...step, domain }, run);
    }
    if (step.domain !== null && step.pick % 8 === 0) return { kind: 'setFeatureLevel', level: 3, pinned: false };
    return this.#phaseBody(machine, step, where, run);
  }

  #whereOf(machine: ReplicatedMachine, step: Step): { where: PhaseRef; run: RunRow | null } {
    const loop = `loop/${step.loop}`;
    const openG = machine.loop(loop)?.g ?? 1;
    const open = machine.runs(loop, openG).find(({ state }) => state !== 'CLEAN_EXIT' && state !== 'HARD_FAILED');
    const phase = (step.phase === null ? open?.phase : PHASES[step.phase]) ?? 'ONE';
    const g = openG + step.roundOffset;
    return { where: { loop, g, phase }, run: machine.run(loop, g, phase) };
  }

  /** A command of the levels below 3. */
  #phaseBody(machine: ReplicatedMachine, step: Step, where: PhaseRef, run: RunRow | null): CommandBody {
    const { loop } = where;
    const fence = token(Math.max(1, run?.token ?? 0) + (step.wrongToken ? 1 : 0));
    const vectorClock = step.supersede ? ([['z', step.acked + 1]] as const) : [];
    // Until there is something to work on, most steps make it.
    const work = step.pick < 13 && run?.state === 'RUNNING' ? 21 : step.pick;
    const pick =
      machine.loop(loop) === null && step.pick > 8 && step.pick < 28
        ? 4 + (step.pick % 5)
        : step.pick < 9
          ? step.pick
          : work;
    switch (pick) {
      case 0:
        return { kind: 'advanceTime' };
      case 30:
        return { kind: 'setFeatureLevel', level: step.wrongToken ? 1 : step.newTerm ? 2 : 3, pinned: step.hardFail };
      case 31:
      case 32:
        return { kind: 'changeMembers', changes: memberChanges(step) };
      case 1:
      case 2:
        return { kind: 'openSession', ttlMs: 1_000 };
      case 3:
        return { kind: step.hardFail && step.supersede ? 'closeSession' : 'keepAliveSession' };
      case 4:
      case 5:
        return { kind: 'registerPlan', plan: step.hardFail ? 'short' : `plan${step.acked}`, phases };
      case 6:
        return { kind: 'registerPlan', plan: 'short', phases: phases.slice(0, step.newTerm ? 3 : 2) };
      case 7:
      case 8:
        return { kind: 'createLoop', loop, plan: 'short' };
      case 20:
      case 22:
      case 23: {
        const { text: reason, hardFail } = step;
        return { kind: 'abortPhase', ref: where, token: fence, reason, hardFail, vectorClock };
      }
      case 9:
      case 10:
      case 11:
      case 12:
      case 13:
      case 14:
      case 15: {
        const supersedeAttempt = step.supersede ? (run?.attempt ?? 0) + (step.wrongToken ? 1 : 0) : 0;
        return { kind: 'beginPhase', ref: where, supersedeAttempt, vectorClock };
      }
      case 16:
      case 17:
      case 18:
      case 19: {
        const subSteps = step.subSteps.map((id) => ({ id: `s ${id}`, result: step.text }));
        const checkpoint = step.hardFail ? step.text : null;
        const report = { completed: 1, total: 2, note: step.text, subSteps, checkpoint };
        const clocked = machine.featureLevel().level >= 3 && step.supersede ? { vectorClock } : {};
        return { kind: 'reportProgress', ref: where, token: fence, ...report, ...clocked };
      }
      default:
        return { kind: 'commitPhase', ref: where, token: fence, result: step.text, vectorClock };
    }
  }
}

function domainSetup(): CommandBody[] {
  return [
    { kind: 'setFeatureLevel', level: 3, pinned: false },
    { kind: 'registerPlan', plan: 'short', phases: phases.slice(0, 2).map((phase) => ({ ...phase, slaMs: 100 })) },
    { kind: 'createLoop', loop: 'loop/0', plan: 'short' },
    { kind: 'createLoop', loop: 'loop/1', plan: 'short' },
  ];
}

const memberChanges = (step: Step): readonly MemberChange[] =>
  [step.loop, step.acked].map((n) => {
    const member = `m${n}` as MemberId;
    if (step.supersede) return { kind: step.newTerm ? 'promote' : 'remove', member };
    const incarnation = String(step.elapsedMs + 300).padStart(32, '0');
    const replaces = step.wrongToken ? ('m1' as MemberId) : '';
    const role = step.hardFail ? 'voter' : 'learner';
    return { kind: 'add', member, peerAddress: 'p:1', clientAddress: 'c:1', incarnation, role, replaces };
  });

/** A history of up to 250 steps. `size`: fast-check would make most of them a few steps short. */
export const history = fc.array(stepArbitrary, { minLength: 1, maxLength: 250, size: 'max' });
