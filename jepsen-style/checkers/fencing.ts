/**
 * Locks that hand out fencing tokens: of one lock no token is given twice, later ones are higher in real time, and what is used was given
 * and is not older than one that was given or used before the use was called. O(n log n).
 *
 * `acquire` answers {token}; `use` is called with {token}.
 */
import { byKey, describe, field, type Operation, UnreadableHistory } from './operation.ts';
import { findInversions } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Held {
  readonly operation: Operation;
  readonly rank: number;
}

export function checkFencing(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  let [given, used] = [0, 0];
  for (const [lock, part] of byKey(operations)) {
    const acquired = held(part, 'acquire');
    const uses = held(part, 'use');
    given += acquired.length;
    used += uses.length;
    violations.push(...sharedTokens(lock, acquired), ...staleTokens(lock, acquired, uses));
    violations.push(...earlyTokens(lock, acquired, uses));
    if (!part.some(({ f, outcome }) => f === 'acquire' && outcome === 'info'))
      violations.push(...inventedTokens(lock, acquired, uses));
  }
  const done = `${given} tokens given, ${used} uses accepted`;
  return verdictOf({ checker: 'fencing', workload }, violations, Math.min(given, used), done);
}

function held(operations: readonly Operation[], f: 'acquire' | 'use'): readonly Held[] {
  return operations
    .filter((operation) => operation.f === f && operation.outcome === 'ok')
    .map((operation) => ({ operation, rank: tokenOf(operation) }));
}

function tokenOf(operation: Operation): number {
  const token = field(operation.result, 'token') ?? field(operation.value, 'token');
  if (typeof token !== 'number')
    throw new UnreadableHistory(`index ${operation.index}: ${operation.f} without a token`);
  return token;
}

function sharedTokens(lock: string, acquired: readonly Held[]): readonly Violation[] {
  const holders = new Map<number, Operation>();
  const violations: Violation[] = [];
  for (const { operation, rank } of acquired) {
    const other = holders.get(rank);
    holders.set(rank, operation);
    if (other === undefined) continue;
    const what = `lock ${lock}: token ${rank} was given to ${other.process} and to ${operation.process}`;
    violations.push({ what, operations: [other, operation], stuck: [operation.index] });
  }
  return violations;
}

function staleTokens(lock: string, acquired: readonly Held[], uses: readonly Held[]): readonly Violation[] {
  return findInversions([...acquired, ...uses]).map(({ earlier, later }) => ({
    what:
      `lock ${lock}: ${describe(earlier.operation)} by ${earlier.operation.process} was called after token ${later.rank} ` +
      `was ${later.operation.f === 'use' ? 'used' : 'given'}`,
    operations: [later.operation, earlier.operation],
    stuck: [earlier.operation.index],
  }));
}

/** Accepted before anybody had asked for the token. */
function earlyTokens(lock: string, acquired: readonly Held[], uses: readonly Held[]): readonly Violation[] {
  const given = new Map(acquired.map(({ operation, rank }) => [rank, operation]));
  return uses.flatMap(({ operation, rank }) => {
    const acquire = given.get(rank);
    if (acquire === undefined || (operation.endIndex ?? Number.POSITIVE_INFINITY) > acquire.index) return [];
    const what = `lock ${lock}: ${operation.process} used token ${rank} before it was given`;
    return [{ what, operations: [operation, acquire], stuck: [operation.index] }];
  });
}

function inventedTokens(lock: string, acquired: readonly Held[], uses: readonly Held[]): readonly Violation[] {
  const known = new Set(acquired.map(({ rank }) => rank));
  return uses
    .filter(({ rank }) => !known.has(rank))
    .map(({ operation, rank }) => ({
      what: `lock ${lock}: ${operation.process} used token ${rank}, which nobody was given`,
      operations: [operation],
      stuck: [operation.index],
    }));
}
