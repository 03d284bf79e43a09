/**
 * Lists to whose end elements are added: every read is a beginning of the longest one, and the order of the list agrees with real time.
 * Nothing acknowledged is lost, doubled or moved. O(total size of reads).
 */
import { findStrangers, type Growing, isUnread, orderViolations, readGrowing, unseen } from './growing.ts';
import { byKey, type Operation } from './operation.ts';
import type { Ranked } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

export function checkLists(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  let [appends, reads] = [0, 0];
  const unread: string[] = [];
  for (const [key, part] of byKey(operations)) {
    const growing = readGrowing(part, 'append');
    appends += [...growing.adds.values()].filter(({ outcome }) => outcome === 'ok').length;
    reads += growing.reads.length;
    if (isUnread(growing)) unread.push(key);
    violations.push(...findStrangers(growing), ...findDisorder(growing));
  }
  const done = `${appends} acknowledged appends, ${reads} reads${unread.length > 0 ? `; never read: ${unread.slice(0, 5).join(', ')}` : ''}`;
  return verdictOf({ checker: 'append', workload }, violations, unread.length > 0 ? 0 : Math.min(appends, reads), done);
}

function findDisorder(growing: Growing): readonly Violation[] {
  const longest = growing.reads.reduce<Growing['reads'][number] | null>(
    (best, read) => (best === null || read.elements.length > best.elements.length ? read : best),
    null,
  );
  if (longest === null) return [];
  const violations: Violation[] = [];
  for (const { operation, elements } of growing.reads) {
    const at = elements.findIndex((element, position) => element !== longest.elements[position]);
    if (at < 0) continue;
    const what =
      `two reads differ at position ${at}: ${elements[at]} (by ${operation.process}, index ${operation.index}) and ` +
      `${longest.elements[at]} (by ${longest.operation.process}, index ${longest.operation.index})`;
    violations.push({ what, operations: [operation, longest.operation], stuck: [operation.index] });
  }
  if (violations.length > 0) return violations;
  const seen = new Map(longest.elements.map((element, position) => [element, position] as const));
  const ranked: Ranked[] = growing.reads.map(({ operation, elements }) => ({
    operation,
    rank: elements.length - 0.5,
  }));
  for (const [element, rank] of seen) {
    const operation = growing.adds.get(element);
    if (operation !== undefined && operation.outcome !== 'fail') ranked.push({ operation, rank });
  }
  const rest = unseen(growing, seen).map(({ operation }) => ({ operation, rank: longest.elements.length }));
  return orderViolations([...ranked, ...rest]);
}
