/**
 * What watchers of the same key were shown: in order, once, without a gap, the same to everybody, and through interruptions. What is missing
 * is told from what the others saw, and from the revisions of acknowledged writes. O(n log n).
 *
 * `event`: {revision, ordinal, kind}. `resume`: {revision}, the last one seen. `bookmark`: {revision}, everything up to it was delivered.
 * `compacted`: {revision}, the first that is still kept. Any other operation with a revision in its answer is an acknowledged write.
 */
import { byKey, describe, field, type Operation, UnreadableHistory } from './operation.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Position {
  readonly revision: number;
  readonly ordinal: number;
}

interface Known extends Position {
  readonly source: Operation;
  readonly kind: string | null;
}

const REPORTS = new Set(['event', 'resume', 'bookmark', 'compacted']);

export function checkWatches(operations: readonly Operation[], workload: string): Verdict {
  const violations: Violation[] = [];
  let events = 0;
  const watchers = new Set<number | string>();
  for (const [key, part] of byKey(operations)) {
    // Who watches without a key sees every write.
    const writes = (key === '' ? operations : part).filter(({ f, outcome }) => !REPORTS.has(f) && outcome === 'ok');
    const reports = part.filter(({ f, outcome }) => REPORTS.has(f) && outcome !== 'fail');
    const truth = new Truth(violations);
    for (const report of reports) {
      watchers.add(report.process);
      if (report.f !== 'event') continue;
      events += 1;
      truth.addEvent(report);
    }
    for (const write of writes) truth.addWrite(write);
    const sorted = truth.sorted();
    for (const own of byProcess(reports).values()) new Watcher(sorted, violations).see(own);
  }
  return verdictOf({ checker: 'watch', workload }, violations, events, `${events} events to ${watchers.size} watchers`);
}

/** All that is known to have happened. */
class Truth {
  readonly #events = new Map<string, Known>();
  readonly #revisions = new Set<number>();
  readonly #writes: Known[] = [];
  readonly #violations: Violation[];

  constructor(violations: Violation[]) {
    this.#violations = violations;
  }

  addEvent(source: Operation): void {
    const position = positionOf(source);
    const name = `${position.revision} ${position.ordinal}`;
    const kind = JSON.stringify(field(source.result, 'kind') ?? null);
    const known = this.#events.get(name);
    if (known === undefined) this.#events.set(name, { ...position, source, kind });
    else if (known.kind !== kind) {
      const what = `two watchers saw different events at ${text(position)}: ${known.kind} and ${kind}`;
      this.#violations.push({ what, operations: [known.source, source], stuck: [source.index] });
    }
    this.#revisions.add(position.revision);
  }

  addWrite(source: Operation): void {
    const revision = field(source.result, 'revision');
    if (typeof revision === 'number') this.#writes.push({ revision, ordinal: 0, source, kind: null });
  }

  sorted(): readonly Known[] {
    const unseen = this.#writes.filter(({ revision }) => !this.#revisions.has(revision));
    return [...this.#events.values(), ...unseen].sort(compare);
  }
}

class Watcher {
  readonly #truth: readonly Known[];
  readonly #violations: Violation[];
  /** Everything up to here was seen; null: it begins anywhere. */
  #last: (Position & { readonly source: Operation }) | null = null;
  #resumed: Operation | null = null;

  constructor(truth: readonly Known[], violations: Violation[]) {
    this.#truth = truth;
    this.#violations = violations;
  }

  see(reports: readonly Operation[]): void {
    for (const report of reports) {
      if (report.f === 'event') this.#event(report);
      else if (report.f === 'bookmark') this.#bookmark(report);
      else if (report.f === 'resume') this.#resume(report);
      else this.#compacted(report);
    }
  }

  #event(source: Operation): void {
    const position = positionOf(source);
    const last = this.#last;
    if (last !== null && compare(position, last) <= 0) {
      const how = compare(position, last) === 0 ? 'again' : 'back in time';
      this.#violate(`${text(position)} ${how}, after ${text(last)}`, source, last.source);
      return;
    }
    this.#findGap(source, position);
    this.#last = { ...position, source };
  }

  #bookmark(source: Operation): void {
    const position = { revision: revisionOf(source), ordinal: Number.POSITIVE_INFINITY };
    if (this.#last !== null && position.revision < this.#last.revision) {
      const what = `a bookmark at ${position.revision} after ${text(this.#last)}`;
      this.#violate(what, source, this.#last.source);
      return;
    }
    this.#findGap(source, position);
    this.#last = { ...position, source };
  }

  #resume(source: Operation): void {
    const revision = revisionOf(source);
    this.#resumed = source;
    // From the last revision seen on, the rest of that revision would be lost if it came in parts: so the position stays.
    if (this.#last?.revision === revision) return;
    this.#last = { revision, ordinal: Number.POSITIVE_INFINITY, source };
  }

  #compacted(source: Operation): void {
    const first = field(source.result, 'revision');
    const asked = this.#resumed === null ? null : revisionOf(this.#resumed) + 1;
    if (typeof first === 'number' && asked !== null && this.#resumed !== null && first <= asked) {
      const what = `told that history before ${first} is gone, when it asked from ${asked} on`;
      this.#violate(what, source, this.#resumed);
    }
    this.#last = null;
    this.#resumed = null;
  }

  /** What lies between the last position and this one, and is known to have happened. */
  #findGap(source: Operation, position: Position): void {
    const last = this.#last;
    if (last === null) return;
    const missed = this.#truth[firstAfter(this.#truth, last)];
    if (missed === undefined || compare(missed, position) >= 0) return;
    // An acknowledged write in the revision of this event is seen by it.
    if (source.f === 'event' && missed.kind === null && missed.revision === position.revision) return;
    const how = missed.kind === null ? 'acknowledged' : `seen by ${missed.source.process}`;
    const what = `gap: after ${text(last)} comes ${text(position)}, but ${text(missed)} was ${how}`;
    this.#violate(what, source, last.source, missed.source);
  }

  #violate(what: string, source: Operation, ...others: readonly Operation[]): void {
    const operations = [...new Set([...others, source])];
    this.#violations.push({ what: `${source.process}: ${what}`, operations, stuck: [source.index] });
  }
}

/** Position in `truth` of the first that is greater than `position`. */
function firstAfter(truth: readonly Known[], position: Position): number {
  let [low, high] = [0, truth.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const one = truth[middle];
    if (one !== undefined && compare(one, position) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function byProcess(operations: readonly Operation[]): Map<number | string, Operation[]> {
  const parts = new Map<number | string, Operation[]>();
  for (const operation of operations) {
    const part = parts.get(operation.process) ?? [];
    parts.set(operation.process, part);
    part.push(operation);
  }
  return parts;
}

function compare(a: Position, b: Position): number {
  return a.revision !== b.revision ? a.revision - b.revision : Math.sign(a.ordinal - b.ordinal) || 0;
}

function text({ revision, ordinal }: Position): string {
  return Number.isFinite(ordinal) ? `${revision}.${ordinal}` : `${revision}`;
}

function positionOf(source: Operation): Position {
  const ordinal = field(source.result, 'ordinal') ?? 0;
  if (typeof ordinal !== 'number') throw strange(source);
  return { revision: revisionOf(source), ordinal };
}

function revisionOf(source: Operation): number {
  const revision = field(source.result ?? source.value, 'revision');
  if (typeof revision !== 'number') throw strange(source);
  return revision;
}

function strange(source: Operation): UnreadableHistory {
  return new UnreadableHistory(`index ${source.index}: ${describe(source)} without a revision`);
}
