/** A set to which elements are added: what was acknowledged stays, and all reads agree on one order of growth. O(total size of reads). */
import { findStrangers, type Growing, orderViolations, type Read, readGrowing, unseen } from './growing.ts';
import { byKey, describe, type Operation } from './operation.ts';
import type { Ranked } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

export function checkSets(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  let [adds, reads] = [0, 0];
  for (const part of byKey(operations).values()) {
    const growing = readGrowing(part, 'add');
    adds += [...growing.adds.values()].filter(({ outcome }) => outcome === 'ok').length;
    reads += growing.reads.length;
    violations.push(...findStrangers(growing), ...findDisorder(growing));
  }
  const done = `${adds} acknowledged adds, ${reads} reads`;
  return verdictOf({ checker: 'set', workload }, violations, Math.min(adds, reads), done);
}

function findDisorder(growing: Growing): readonly Violation[] {
  const bySize = growing.reads
    .map((read) => ({ read, set: new Set(read.elements) }))
    .sort((a, b) => a.set.size - b.set.size);
  const violations: Violation[] = [];
  /** Position of the first read, by size, that shows the element. */
  const seen = new Map<string, number>();
  const ranked: Ranked[] = [];
  let level = 0;
  let before: { readonly read: Read; readonly set: ReadonlySet<string> } | null = null;
  for (const one of bySize) {
    const missing = before === null ? undefined : before.read.elements.find((element) => !one.set.has(element));
    if (before !== null && missing !== undefined) violations.push(apart(growing, before.read, one.read, missing));
    if (before === null || one.set.size > before.set.size) level += 1;
    for (const element of one.set) if (!seen.has(element)) seen.set(element, level);
    ranked.push({ operation: one.read.operation, rank: 2 * level + 1 });
    before = one;
  }
  // Two reads that each miss something leave no order to hold the rest against.
  if (violations.length > 0) return violations;
  for (const [element, at] of seen) {
    const operation = growing.adds.get(element);
    if (operation !== undefined && operation.outcome !== 'fail') ranked.push({ operation, rank: 2 * at });
  }
  return orderViolations([...ranked, ...unseen(growing, seen)]);
}

function apart({ adds }: Growing, smaller: Read, larger: Read, missing: string): Violation {
  const other = larger.elements.find((element) => !smaller.elements.includes(element));
  const first = smaller.operation.index < larger.operation.index ? smaller : larger;
  const second = first === smaller ? larger : smaller;
  const what =
    `no order explains both reads: ${describe(smaller.operation)} by ${smaller.operation.process} shows ${missing}, ` +
    `${describe(larger.operation)} by ${larger.operation.process} does not${other === undefined ? '' : `, but ${other}`}`;
  const operations = [missing, other].flatMap((element) => (element === undefined ? [] : (adds.get(element) ?? [])));
  return {
    what,
    operations: [...operations, first.operation, second.operation],
    stuck: [second.operation.index],
  };
}
