/**
 * What watchers of the same key were shown: in order, once, without a gap, the same to everybody, and through interruptions. What is missing
 * is told from what the others saw, and from the revisions of acknowledged writes. O(n log n).
 *
 * `event`: {revision, ordinal, kind}. `resume`: {from}, the first revision wanted, everything before it
 * was delivered; 0: from now on. `caught-up`: {revision}, everything up to it
 * was delivered. `compacted`: {firstRevision}, the first that is still kept. `broken`: nothing to check. Any other operation with a revision in its answer is an acknowledged write.
 */
import { byKey, describe, field, type Operation, UnreadableHistory } from './operation.ts';
import { findInversions } from './ranks.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

interface Position {
  readonly revision: number;
  readonly ordinal: number;
}

interface Known extends Position {
  readonly source: Operation;
  readonly kind: string | null;
}

const REPORTS = new Set(['event', 'resume', 'caught-up', 'compacted', 'broken']);

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
    truth.checkWrites();
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

  /** A revision is of one write, later writes have higher ones, and no event is there before its write was called. */
  checkWrites(): void {
    const violate = (what: string, one: Operation, other: Operation): number =>
      this.#violations.push({ what, operations: [one, other], stuck: [other.index] });
    const events = new Map<number, Operation>();
    for (const { revision, source } of this.#events.values()) {
      const known = events.get(revision);
      if (known === undefined || source.index < known.index) events.set(revision, source);
    }
    const writes = new Map<number, Operation>();
    for (const { revision, source } of this.#writes) {
      const [other, event] = [writes.get(revision), events.get(revision)];
      writes.set(revision, source);
      if (other !== undefined) violate(`revision ${revision} was given to two writes`, other, source);
      if (event !== undefined && event.index < source.index)
        violate(`revision ${revision} was seen before its write was called`, event, source);
    }
    const ranked = this.#writes.map(({ revision, source }) => ({ operation: source, rank: revision }));
    for (const { earlier, later } of findInversions(ranked))
      violate(`revision ${earlier.rank} was given after ${later.rank}`, later.operation, earlier.operation);
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
  #asked: { readonly from: number; readonly source: Operation } | null = null;

  constructor(truth: readonly Known[], violations: Violation[]) {
    this.#truth = truth;
    this.#violations = violations;
  }

  see(reports: readonly Operation[]): void {
    for (const report of reports) {
      if (report.f === 'event') this.#event(report);
      else if (report.f === 'caught-up') this.#caughtUp(report);
      else if (report.f === 'resume') this.#resume(report);
      else if (report.f === 'compacted') this.#compacted(report);
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

  #caughtUp(source: Operation): void {
    const position = { revision: revisionOf(source), ordinal: Number.POSITIVE_INFINITY };
    if (this.#last !== null && position.revision < this.#last.revision) {
      const what = `caught up with ${position.revision} after ${text(this.#last)}`;
      this.#violate(what, source, this.#last.source);
      return;
    }
    this.#findGap(source, position);
    this.#last = { ...position, source };
  }

  #resume(source: Operation): void {
    const from = numberIn(source, 'from');
    this.#asked = { from, source };
    // After the last revision that was seen: if some of its events were not, they are missing, so the position stays.
    if (this.#last?.revision === from - 1) return;
    // Farther on: it says that there was nothing in between.
    if (from > 0) this.#findGap(source, { revision: from - 1, ordinal: Number.POSITIVE_INFINITY });
    this.#last = from === 0 ? null : { revision: from - 1, ordinal: Number.POSITIVE_INFINITY, source };
  }

  #compacted(source: Operation): void {
    const first = numberIn(source, 'firstRevision');
    const asked = this.#asked;
    if (asked !== null && first <= asked.from) {
      const what = `told that history before ${first} is gone, when it asked from ${asked.from} on`;
      this.#violate(what, source, asked.source);
    }
    this.#last = null;
    this.#asked = null;
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
  return { revision: revisionOf(source), ordinal: numberIn(source, 'ordinal') };
}

function revisionOf(source: Operation): number {
  return numberIn(source, 'revision');
}

function numberIn(source: Operation, name: string): number {
  const value = field(source.result, name);
  if (typeof value !== 'number')
    throw new UnreadableHistory(`index ${source.index}: ${describe(source)} without ${name}`);
  return value;
}
