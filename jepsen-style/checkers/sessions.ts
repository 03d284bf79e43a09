/**
 * Requests of a session under one number: however often and to whomever they are sent, they are carried out once and answered alike. O(n).
 *
 * `write`, compare and set on a document that nobody else writes: {sequence, expected}, ended with {session, answers: [{version} or {error,
 * unknown}]}, one answer for each sending. A second execution is refused with VERSION_MISMATCH. Sent one by one, `call`: {session,
 * sequence}, answered with {answer}, where a number is the version that was written: each is given to one request, and they rise in real
 * time; and `count`, where the calls of one key add one each: how often they were applied.
 */
import { byKey, field, type Operation, UnreadableHistory } from './operation.ts';
import { findInversions, type Ranked } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Call {
  readonly attempts: Operation[];
  /** The first that was answered. */
  answered: Operation | null;
}

export function checkSessions(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  const calls = new Map<string, Call>();
  let repeated = 0;
  for (const operation of operations) {
    if (operation.f !== 'call') continue;
    const name = nameOf(operation);
    const sent = calls.get(name) ?? { attempts: [], answered: null };
    calls.set(name, sent);
    sent.attempts.push(operation);
    if (operation.outcome === 'fail' && operation.error === 'VERSION_MISMATCH') {
      const what = `call ${name} was carried out a second time: nobody else writes ${operation.key}`;
      violations.push({ what, operations: sent.attempts.slice(-2), stuck: [operation.index] });
    }
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
  let [counts, writes] = [0, 0];
  for (const [key, part] of byKey(operations)) {
    violations.push(...wrongOrder(key, part, calls));
    const versions = new Map<number, Operation>();
    for (const write of part.filter(({ f }) => f === 'write')) {
      const given = versionsOf(write);
      if (write.outcome === 'ok') writes += 1;
      repeated += Math.max(0, given.length - 1);
      violations.push(...wrongWrite(key, write, given, versions));
    }
    for (const count of part.filter(({ f, outcome }) => f === 'count' && outcome === 'ok')) {
      counts += 1;
      violations.push(...wrongCount(key, count, part));
    }
  }
  const done = `${calls.size + writes} calls, ${repeated} repeated answers, ${counts} counts`;
  const answered = [...calls.values()].filter((sent) => sent.answered !== null).length;
  return verdictOf({ checker: 'sessions', workload }, violations, answered + writes, done);
}

/** A version that two requests were given, and versions that fall: a write was lost, or two histories went on from one state. */
function wrongOrder(key: string, part: readonly Operation[], calls: ReadonlyMap<string, Call>): readonly Violation[] {
  const violations: Violation[] = [];
  const ranked: Ranked[] = [];
  const holders = new Map<number, Operation>();
  for (const name of new Set(part.filter(({ f }) => f === 'call').map(nameOf))) {
    const { attempts, answered } = calls.get(name) ?? { attempts: [], answered: null };
    const version = field(answered?.result, 'answer');
    const [first] = attempts;
    if (answered === null || first === undefined || typeof version !== 'number') continue;
    // From its first sending on: one that was repeated has its version from long ago.
    const operation = { ...answered, index: first.index };
    const other = holders.get(version);
    holders.set(version, operation);
    if (other === undefined) ranked.push({ operation, rank: version });
    else {
      const what = `${key}: version ${version} was the answer to ${nameOf(other)} and to ${name}`;
      violations.push({ what, operations: [other, operation], stuck: [operation.index] });
    }
  }
  for (const { earlier, later } of findInversions(ranked)) {
    const what = `${key}: ${nameOf(earlier.operation)} wrote version ${earlier.rank} after ${nameOf(later.operation)} had written ${later.rank}`;
    violations.push({ what, operations: [later.operation, earlier.operation], stuck: [earlier.operation.index] });
  }
  return violations;
}

interface Sent {
  readonly version?: unknown;
  readonly error?: unknown;
}

function answersOf({ result }: Operation): readonly Sent[] {
  const answers = field(result, 'answers');
  return Array.isArray(answers) ? (answers as readonly Sent[]) : [];
}

function versionsOf(write: Operation): readonly number[] {
  return answersOf(write).flatMap(({ version }) => (typeof version === 'number' ? [version] : []));
}

/** `versions`: what the writes of this document so far were answered with. */
function wrongWrite(
  key: string,
  write: Operation,
  given: readonly number[],
  versions: Map<number, Operation>,
): readonly Violation[] {
  const of = `${key}, sequence ${field(write.value, 'sequence')} by ${write.process}`;
  const violate = (what: string, ...others: readonly Operation[]): readonly Violation[] => [
    { what: `${of}: ${what}`, operations: [...others, write], stuck: [write.index] },
  ];
  const [version] = given;
  if (answersOf(write).some(({ error }) => error === 'VERSION_MISMATCH'))
    return violate('carried out a second time: nobody else writes this document');
  if (new Set(given).size > 1) return violate(`answered with the versions ${[...new Set(given)].join(' and ')}`);
  if (version === undefined) return [];
  const other = versions.get(version);
  versions.set(version, write);
  if (other !== undefined) return violate(`answered with version ${version}, as another write before`, other);
  const expected = field(write.value, 'expected');
  if (typeof expected === 'number' && version <= expected)
    return violate(`answered with version ${version}, when ${expected} was replaced`);
  return [];
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
