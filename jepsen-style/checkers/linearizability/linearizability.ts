/** Is the history of each register linearizable? Linearizability is local (Herlihy and Wing, 1990): key by key. */
import { byKey, describe, type Operation } from '../operation.ts';
import type { Evidence, Verdict } from '../verdict.ts';
import { OWN_READING, type Reading, registerCalls } from './calls.ts';
import { RegisterModel } from './model.ts';
import { LIMITS, type Limits, search } from './search.ts';
import { type Fails, leaveOut, readUnits, shortestFailing, valueUnits } from './shrink.ts';

export interface RegisterOptions {
  readonly initial: unknown;
  readonly reading: Reading;
  /** For each key. */
  readonly limits: Limits;
  /** For making the first failing key small. */
  readonly shrinkMsMax: number;
}

const OPTIONS: RegisterOptions = { initial: null, reading: OWN_READING, limits: LIMITS, shrinkMsMax: 10_000 };

export function checkRegisters(
  operations: readonly Operation[],
  workload: string,
  given: Partial<RegisterOptions> = {},
): Verdict {
  const options = { ...OPTIONS, ...given };
  const name = { checker: 'linearizability', workload };
  const bad: string[] = [];
  const undecided: string[] = [];
  let evidence: Evidence | null = null;
  let points = 0;
  let answers = 0;
  const keys = byKey(operations);
  for (const [key, part] of keys) {
    answers += part.filter(({ outcome }) => outcome === 'ok').length;
    const model = new RegisterModel(options.initial);
    const result = search(model, registerCalls(model, part, options.reading), options.limits);
    points += result.points;
    if (result.kind === 'unknown') undecided.push(`${key} (${result.why})`);
    if (result.kind !== 'violation') continue;
    bad.push(key);
    evidence ??= explain(key, shrinkRegister(part, options), options);
  }
  if (evidence !== null) {
    const which = bad.length === 1 ? '' : `; ${bad.length} of ${keys.size} registers are wrong: ${listed(bad)}`;
    return { ...name, valid: false, detail: `${evidence.title}${which}`, evidence };
  }
  const done = `${answers} answers on ${keys.size} registers, ${points} points searched`;
  if (undecided.length > 0) {
    return { ...name, valid: 'unknown', detail: `not decided for ${listed(undecided)}; of the rest: ${done}` };
  }
  if (answers === 0) return { ...name, valid: 'unknown', detail: `nothing to check: ${done}` };
  return { ...name, valid: true, detail: done };
}

/** A small part of a history of one register that is not linearizable by itself; `operations` must not be linearizable. */
export function shrinkRegister(
  operations: readonly Operation[],
  given: Partial<RegisterOptions> = {},
): readonly Operation[] {
  const options = { ...OPTIONS, ...given };
  const deadline = performance.now() + options.shrinkMsMax;
  const more = (): boolean => performance.now() < deadline;
  const fails: Fails = (part) => {
    const model = new RegisterModel(options.initial);
    const limits = {
      ...options.limits,
      msMax: Math.max(1, Math.min(options.limits.msMax, deadline - performance.now())),
    };
    return search(model, registerCalls(model, part, options.reading), limits).kind === 'violation';
  };
  const model = new RegisterModel(options.initial);
  const callsOf = (part: readonly Operation[]): ReturnType<typeof registerCalls> =>
    registerCalls(model, part, options.reading);
  let kept = shortestFailing(operations, fails);
  // What failed or was never answered and only read says nothing.
  const saying = new Set(callsOf(kept).map(({ operation }) => operation.index));
  kept = kept.filter(({ index }) => saying.has(index));
  const failedCompares = new Set(
    callsOf(kept).flatMap(({ op, operation }) => (op.kind === 'cas' && op.ok === false ? [operation.index] : [])),
  );
  const withoutThem = kept.filter(({ index }) => !failedCompares.has(index));
  if (failedCompares.size === 0 || fails(withoutThem)) {
    kept = leaveOut(withoutThem, valueUnits(callsOf(withoutThem)), fails, more);
  }
  return leaveOut(
    kept,
    readUnits(callsOf(kept), (op) => model.readOnly(op)),
    fails,
    more,
  );
}

function explain(key: string, operations: readonly Operation[], options: RegisterOptions): Evidence {
  const model = new RegisterModel(options.initial);
  const result = search(model, registerCalls(model, operations, options.reading), options.limits);
  const last = operations.findLast(({ endIndex }) => endIndex !== null);
  const found = result.kind === 'violation' ? operations.find(({ index }) => index === result.stuckAt.calledAt) : last;
  const what = found === undefined ? '' : `: ${describe(found)} by ${found.process} fits nowhere`;
  return {
    kind: 'history',
    title: `register ${key} is not linearizable${what}`,
    operations,
    stuck: found === undefined ? [] : [found.index],
  };
}

const LISTED_MAX = 5;

function listed(names: readonly string[]): string {
  const more = names.length > LISTED_MAX ? ` and ${names.length - LISTED_MAX} more` : '';
  return `${names.slice(0, LISTED_MAX).join(', ')}${more}`;
}
