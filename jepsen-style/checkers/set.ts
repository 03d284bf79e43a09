/**
 * A set to which elements are added and never taken away. Two strengths: where a read shows the set as of one moment (`snapshots`), all reads
 * have to agree on one order of growth that fits real time, which is all that linearizability demands. Where it is read page by page,
 * each page as of its own moment, a read has to show what was known to be in the set before the read was called, and nothing that was
 * not added before it returned. O(n log n + total size of reads).
 */
import { findStrangers, type Growing, isUnread, orderViolations, type Read, readGrowing, unseen } from './growing.ts';
import { byKey, describe, type Operation } from './operation.ts';
import type { Ranked } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

export function checkSets(operations: readonly Operation[], workload: string, snapshots = false): Verdict {
  const violations: Violation[] = [];
  let [adds, reads] = [0, 0];
  const unread: string[] = [];
  for (const [key, part] of byKey(operations)) {
    const growing = readGrowing(part, 'add');
    adds += [...growing.adds.values()].filter(({ outcome }) => outcome === 'ok').length;
    reads += growing.reads.length;
    if (isUnread(growing)) unread.push(key);
    violations.push(...findStrangers(growing), ...(snapshots ? findDisorder(growing) : findMissing(growing)));
  }
  const done = `${adds} acknowledged adds, ${reads} reads${unread.length > 0 ? `; never read: ${unread.slice(0, 5).join(', ')}` : ''}`;
  return verdictOf({ checker: 'set', workload }, violations, unread.length > 0 ? 0 : Math.min(adds, reads), done);
}

/** When an element was known to be in the set for the first time, and from which operation. */
interface Sighting {
  readonly element: string;
  readonly source: Operation;
  readonly at: number;
}

function findMissing(growing: Growing): readonly Violation[] {
  const sightings = sightingsOf(growing);
  const violations: Violation[] = [];
  const byCall = growing.reads.toSorted((a, b) => a.operation.index - b.operation.index);
  for (const { operation, elements } of byCall) {
    const shown = new Set(elements);
    const missing = sightings.find(({ element, at }) => at < operation.index && !shown.has(element));
    if (missing !== undefined) violations.push(missingFrom(operation, missing));
    const early = elements.find(
      (element) => (growing.adds.get(element)?.index ?? 0) > (operation.endIndex ?? Infinity),
    );
    const add = early === undefined ? undefined : growing.adds.get(early);
    if (add === undefined) continue;
    const what = `${early} was seen before it was added: ${describe(operation)} by ${operation.process}`;
    violations.push({ what, operations: [operation, add], stuck: [operation.index] });
  }
  return violations;
}

function missingFrom(read: Operation, { element, source }: Sighting): Violation {
  const lost = source.f === 'read' ? `a read went back: ${element} was seen` : `lost or stale: ${element} is missing`;
  const what = `${lost}: ${describe(source)} by ${source.process} had returned before ${describe(read)} by ${read.process} was called`;
  return { what, operations: [source, read], stuck: [read.index] };
}

/** In the order of time. */
function sightingsOf({ adds, reads }: Growing): readonly Sighting[] {
  const first = new Map<string, Sighting>();
  const see = (element: string, source: Operation): void => {
    const at = source.endIndex;
    if (at !== null && at < (first.get(element)?.at ?? Number.POSITIVE_INFINITY))
      first.set(element, { element, source, at });
  };
  for (const [element, add] of adds) if (add.outcome === 'ok') see(element, add);
  for (const { operation, elements } of reads) for (const element of elements) see(element, operation);
  return [...first.values()].sort((a, b) => a.at - b.at);
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
