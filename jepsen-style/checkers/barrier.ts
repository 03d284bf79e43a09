/**
 * Loops whose phases run in rounds: no phase of round g + 1 begins before all of round g are final, inside a round they begin in the order
 * of the plan, a phase is committed once and only by the attempt that holds it, and tokens rise with attempts. O(n) for each loop.
 *
 * `plan`, reported at the start: the names of a loop's phases in order. `begin` and `commit`: {loop, g, phase, attempt, token}, as far as
 * they are known; the answer may have `revision`, where the log put it. Everything else with a
 * loop, a g and a phase may have made the phase final: `final`, reported by an observer, needs no call. A begin that was acknowledged
 * before anybody had tried to make its predecessors final is a violation; with revisions on both sides, so is a wrong order of them.
 * `read`: {g, runs: [{phase, state}]}, the open round of the loop: what had been committed before it was called is not open any more.
 */
import { describe, field, type Operation } from './operation.ts';
import { findInversions } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Step {
  readonly operation: Operation;
  readonly phase: string;
  readonly g: number;
  readonly attempt: number | null;
  readonly token: number | null;
  readonly revision: number | null;
}

/** The runs of one phase in one round. */
interface Run {
  readonly begins: Step[];
  readonly commits: Step[];
  /** Whatever may have made it final, commits included; what failed is not among them. */
  readonly finals: Step[];
}

/** Of a loop without a plan only the rules are checked that need no order inside a round, unless its phases are numbers. */
export function checkBarrier(operations: readonly Operation[], workload: string): Verdict {
  const plans = new Map<string, readonly string[]>();
  const loops = new Map<string, Step[]>();
  const reads: Operation[] = [];
  for (const operation of operations) {
    if (operation.f === 'read' && operation.outcome === 'ok') reads.push(operation);
    if (operation.f === 'plan' && operation.key !== null && Array.isArray(operation.result))
      plans.set(operation.key, operation.result.map(String));
    const step = stepOf(operation);
    if (step === null || operation.outcome === 'fail') continue;
    const loop = loopOf(operation);
    const steps = loops.get(loop) ?? [];
    loops.set(loop, steps);
    steps.push(step);
  }
  const violations: Violation[] = [];
  let begins = 0;
  for (const [loop, steps] of loops) {
    const order = plans.get(loop) ?? numericPlan(steps);
    const phases = order ?? [...new Set(steps.map(({ phase }) => phase))];
    const runs = runsOf(steps);
    for (const [name, run] of runs) {
      const of = `${loop} ${name}`;
      violations.push(
        ...heldTwice(of, run),
        ...committedTwice(of, run),
        ...committedByNobody(of, run),
        ...beganAgain(of, run),
      );
      begins += run.begins.filter(({ operation }) => operation.outcome === 'ok').length;
    }
    violations.push(...beganEarly(loop, steps, runs, phases, order !== null));
    violations.push(...lostCommits(loop, steps, reads), ...mixedTokens(loop, steps));
  }
  const planned = [...loops.keys()].filter((loop) => plans.has(loop)).length;
  const done = `${begins} begins in ${loops.size} loops, ${planned} of them with a known plan`;
  return verdictOf({ checker: 'barrier', workload }, violations, begins, done);
}

function loopOf(operation: Operation): string {
  return String(field(operation.value, 'loop') ?? operation.key);
}

function stepOf(operation: Operation): Step | null {
  const of = (name: string): unknown => field(operation.result, name) ?? field(operation.value, name);
  const [g, phase] = [of('g'), of('phase')];
  if (typeof g !== 'number' || (typeof phase !== 'string' && typeof phase !== 'number')) return null;
  const numberOf = (name: string): number | null => {
    const value = of(name);
    return typeof value === 'number' ? value : null;
  };
  const revision = operation.outcome === 'ok' ? numberOf('revision') : null;
  return { operation, g, phase: String(phase), attempt: numberOf('attempt'), token: numberOf('token'), revision };
}

function numericPlan(steps: readonly Step[]): readonly string[] | null {
  const phases = [...new Set(steps.map(({ phase }) => phase))];
  return phases.every((phase) => /^\d+$/.test(phase)) ? phases.sort((a, b) => Number(a) - Number(b)) : null;
}

function runsOf(steps: readonly Step[]): Map<string, Run> {
  const runs = new Map<string, Run>();
  for (const step of steps) {
    const name = nameOf(step.g, step.phase);
    const run = runs.get(name) ?? { begins: [], commits: [], finals: [] };
    runs.set(name, run);
    if (step.operation.f === 'begin') run.begins.push(step);
    else run.finals.push(step);
    if (step.operation.f === 'commit') run.commits.push(step);
  }
  return runs;
}

function nameOf(g: number, phase: string): string {
  return `g${g}/${phase}`;
}

function beganEarly(
  loop: string,
  steps: readonly Step[],
  runs: ReadonlyMap<string, Run>,
  phases: readonly string[],
  ordered: boolean,
): readonly Violation[] {
  const first = steps.reduce((least, { g }) => Math.min(least, g), Number.POSITIVE_INFINITY);
  const violations: Violation[] = [];
  for (const step of steps) {
    const { operation, g, phase } = step;
    if (operation.f !== 'begin' || operation.outcome !== 'ok') continue;
    const earlier = ordered ? phases.slice(0, phases.indexOf(phase)).map((name) => nameOf(g, name)) : [];
    const before = g > first ? phases.map((name) => nameOf(g - 1, name)) : [];
    for (const name of [...before, ...earlier]) {
      const finals = runs.get(name)?.finals ?? [];
      if (finals.some((final) => mayPrecede(final, step))) continue;
      const what = `${loop}: ${nameOf(g, phase)} began before ${name} was final (${describe(operation)})`;
      const shown = finals.slice(0, 2).map((final) => final.operation);
      violations.push({ what, operations: [operation, ...shown], stuck: [operation.index] });
    }
  }
  return violations;
}

/** `final` may have taken effect before `begin` did. What an observer reports happened at some time before. */
function mayPrecede(final: Step, begin: Step): boolean {
  if (final.revision !== null && begin.revision !== null) return final.revision < begin.revision;
  if (final.operation.f === 'final') return true;
  return final.operation.index < (begin.operation.endIndex ?? Number.POSITIVE_INFINITY);
}

/** One attempt given to two, and tokens or attempts that fall in real time. */
function heldTwice(of: string, { begins }: Run): readonly Violation[] {
  const violations: Violation[] = [];
  const given = begins.filter(({ operation }) => operation.outcome === 'ok');
  for (const what of ['attempt', 'token'] as const) {
    const ranked = given.flatMap((step) =>
      step[what] === null ? [] : [{ operation: step.operation, rank: step[what] }],
    );
    const holders = new Map<number, Operation>();
    for (const { operation, rank } of ranked) {
      const other = holders.get(rank);
      holders.set(rank, operation);
      if (other === undefined || other.process === operation.process) continue;
      const text = `${of}: ${what} ${rank} was given to ${other.process} and to ${operation.process}`;
      violations.push({ what: text, operations: [other, operation], stuck: [operation.index] });
    }
    for (const { earlier, later } of findInversions(ranked)) {
      const text = `${of}: ${what} ${earlier.rank} was given after ${later.rank}`;
      const stuck = [earlier.operation.index];
      violations.push({ what: text, operations: [later.operation, earlier.operation], stuck });
    }
  }
  return violations;
}

/** A token that two phases were given, and tokens that fall from one phase to another: all of a loop come from one log. */
function mixedTokens(loop: string, steps: readonly Step[]): readonly Violation[] {
  const violations: Violation[] = [];
  const given = steps.flatMap(({ operation, g, phase, token }) =>
    operation.f === 'begin' && operation.outcome === 'ok' && token !== null
      ? [{ operation, rank: token, run: nameOf(g, phase) }]
      : [],
  );
  const runs = new Map(given.map(({ operation, run }) => [operation, run]));
  const holders = new Map<number, (typeof given)[number]>();
  for (const one of given) {
    const other = holders.get(one.rank);
    holders.set(one.rank, one);
    if (other === undefined || other.run === one.run) continue;
    const what = `${loop}: token ${one.rank} was given for ${other.run} and for ${one.run}`;
    violations.push({ what, operations: [other.operation, one.operation], stuck: [one.operation.index] });
  }
  for (const { earlier, later } of findInversions(given)) {
    if (runs.get(earlier.operation) === runs.get(later.operation)) continue;
    const what = `${loop}: token ${earlier.rank} was given after ${later.rank}`;
    violations.push({ what, operations: [later.operation, earlier.operation], stuck: [earlier.operation.index] });
  }
  return violations;
}

/** Where both name an attempt it decides; otherwise the token, which rises with it. */
function isNewer(one: Step, other: Step): boolean {
  if (one.attempt !== null && other.attempt !== null) return one.attempt > other.attempt;
  return one.token !== null && other.token !== null && one.token > other.token;
}

function holderOf({ attempt, token }: Step): string {
  return attempt === null ? `token ${token}` : `attempt ${attempt}`;
}

function endsBefore(one: Step, other: Step): boolean {
  return (one.operation.endIndex ?? Number.POSITIVE_INFINITY) < other.operation.index;
}

/** Two attempts committed, or one did after a newer one was given out. */
function committedTwice(of: string, { begins, commits }: Run): readonly Violation[] {
  const violations: Violation[] = [];
  const acknowledged = commits.filter(({ operation }) => operation.outcome === 'ok');
  for (const commit of acknowledged) {
    const newer = begins.find((begin) => isNewer(begin, commit) && endsBefore(begin, commit));
    const other = acknowledged.find(
      (one) => one.operation.index < commit.operation.index && (isNewer(one, commit) || isNewer(commit, one)),
    );
    const before = newer ?? other;
    if (before === undefined) continue;
    const what =
      newer === undefined
        ? `${of}: committed by ${holderOf(before)} and by ${holderOf(commit)}`
        : `${of}: ${holderOf(commit)} committed after ${holderOf(newer)} had begun`;
    const stuck = [commit.operation.index];
    violations.push({ what, operations: [before.operation, commit.operation], stuck });
  }
  return violations;
}

/** Nobody who may have been given it had asked before it was committed. */
function committedByNobody(of: string, { begins, commits }: Run): readonly Violation[] {
  const violations: Violation[] = [];
  for (const commit of commits.filter(({ operation }) => operation.outcome === 'ok')) {
    const isHolder = (begin: Step): boolean =>
      begin.operation.index < (commit.operation.endIndex ?? Number.POSITIVE_INFINITY) &&
      (['attempt', 'token'] as const).every(
        (what) => begin[what] === null || commit[what] === null || begin[what] === commit[what],
      );
    if (begins.some(isHolder)) continue;
    const what = `${of}: committed by ${holderOf(commit)}, which nobody was given`;
    violations.push({ what, operations: [commit.operation], stuck: [commit.operation.index] });
  }
  return violations;
}

/** A newer attempt was given out after a commit had been acknowledged. */
function beganAgain(of: string, { begins, commits }: Run): readonly Violation[] {
  const violations: Violation[] = [];
  for (const begin of begins) {
    if (begin.operation.outcome !== 'ok') continue;
    const commit = commits.find(
      (one) => one.operation.outcome === 'ok' && endsBefore(one, begin) && isNewer(begin, one),
    );
    if (commit === undefined) continue;
    const what = `${of}: began again (${holderOf(begin)}) after it was committed`;
    violations.push({ what, operations: [commit.operation, begin.operation], stuck: [begin.operation.index] });
  }
  return violations;
}

/** Of a phase that is open; any other state is an end. */
const OPEN_STATES: readonly unknown[] = ['PENDING', 'RUNNING', 'ABORTED', 'FAILED_PARTIAL'];

/** A commit that was acknowledged, and that a later look at the loop does not know of. */
function lostCommits(loop: string, steps: readonly Step[], reads: readonly Operation[]): readonly Violation[] {
  const violations: Violation[] = [];
  for (const read of reads.filter((one) => loopOf(one) === loop)) {
    const round = field(read.result, 'g');
    const runs = field(read.result, 'runs');
    if (typeof round !== 'number' || !Array.isArray(runs)) continue;
    const open = new Set(
      runs.filter((run) => OPEN_STATES.includes(field(run, 'state'))).map((run) => String(field(run, 'phase'))),
    );
    for (const { operation, g, phase } of steps) {
      const isDone = operation.f === 'commit' && operation.outcome === 'ok';
      if (!isDone || (operation.endIndex ?? Number.POSITIVE_INFINITY) >= read.index) continue;
      if (g < round || (g === round && !open.has(phase))) continue;
      const what = `${loop}: ${nameOf(g, phase)} was committed, and is not: the loop is in round ${round} (${describe(read)})`;
      violations.push({ what, operations: [operation, read], stuck: [read.index] });
    }
  }
  return violations;
}
