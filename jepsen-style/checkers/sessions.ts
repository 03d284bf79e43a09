/**
 * Calls in sessions: whoever repeats a call gets the answer that was given first, and each call is applied once however often it is sent.
 * O(n).
 *
 * `call`: {session, sequence}, answered with {session, sequence, answer}. `count`, where the calls of one key add one each: answers how often
 * they were applied.
 */
import { byKey, field, type Operation, UnreadableHistory } from './operation.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Sent {
  readonly attempts: Operation[];
  /** The first that was answered. */
  answered: Operation | null;
}

export function checkSessions(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  const calls = new Map<string, Sent>();
  let repeated = 0;
  for (const operation of operations) {
    if (operation.f !== 'call') continue;
    const name = nameOf(operation);
    const sent = calls.get(name) ?? { attempts: [], answered: null };
    calls.set(name, sent);
    sent.attempts.push(operation);
    if (operation.outcome !== 'ok') continue;
    const first = sent.answered;
    if (first === null) sent.answered = operation;
    else {
      repeated += 1;
      if (answerOf(first) === answerOf(operation)) continue;
      const what = `call ${name} was answered with ${answerOf(first)} and with ${answerOf(operation)}`;
      violations.push({ what, operations: [first, operation], stuck: [operation.index] });
    }
  }
  let counts = 0;
  for (const [key, part] of byKey(operations)) {
    for (const count of part.filter(({ f, outcome }) => f === 'count' && outcome === 'ok')) {
      counts += 1;
      violations.push(...wrongCount(key, count, part));
    }
  }
  const done = `${calls.size} calls, ${repeated} repeated answers, ${counts} counts`;
  const answered = [...calls.values()].filter((sent) => sent.answered !== null).length;
  return verdictOf({ checker: 'sessions', workload }, violations, answered, done);
}

/** At least the calls that were acknowledged before it, at most those that were sent before its answer and did not fail each time. */
function wrongCount(key: string, count: Operation, part: readonly Operation[]): readonly Violation[] {
  const applied = Number(count.result);
  if (!Number.isInteger(applied)) throw new UnreadableHistory(`index ${count.index}: a count that is no number`);
  const must = new Set<string>();
  const may = new Set<string>();
  for (const operation of part) {
    if (operation.f !== 'call' || operation.outcome === 'fail') continue;
    const name = nameOf(operation);
    if (operation.index < (count.endIndex ?? count.index)) may.add(name);
    if (operation.endIndex !== null && operation.endIndex < count.index) must.add(name);
  }
  if (applied >= must.size && applied <= may.size) return [];
  const what =
    applied < must.size
      ? `${key}: ${applied} calls were applied, but ${must.size} had been acknowledged`
      : `${key}: ${applied} calls were applied, but only ${may.size} were sent`;
  return [{ what, operations: [count], stuck: [count.index] }];
}

function nameOf(operation: Operation): string {
  const session = field(operation.value, 'session');
  const sequence = field(operation.value, 'sequence');
  if (session === undefined || sequence === undefined)
    throw new UnreadableHistory(`index ${operation.index}: a call without session and sequence`);
  return `${session}/${sequence}`;
}

function answerOf({ result }: Operation): string {
  return JSON.stringify(field(result, 'answer') ?? null);
}
