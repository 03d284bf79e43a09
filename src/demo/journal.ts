/**
 * What an agent did, written down by the agent itself as it does it, so that the demo can count after a kill. Lines
 * outlive the process (they are with the kernel once written); they need not outlive the machine.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export interface JournalLine {
  readonly kind: 'started' | 'performed' | 'recorded';
  readonly g: number;
  readonly phase: string;
  readonly attempt: number;
  readonly id: string;
}

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(lines: readonly JournalLine[]): void {
    writeSync(this.#file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** A last line without its end was cut by the kill, and is left out. */
export function readJournal(path: string): readonly JournalLine[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JournalLine);
}

export interface Repetition {
  /** Started again although the cluster had it on record: what must never happen. */
  readonly runTwice: readonly string[];
  /** Performed by a killed attempt and not recorded in time: done again, by need. */
  readonly redoneUnrecorded: readonly string[];
}

/**
 * `recordedBy`: the attempt that the cluster has on record for each sub-step of one phase run. An attempt that lost
 * its token records nothing more; so whatever an earlier attempt recorded was on record before a later one began, and
 * a later one that starts it runs it twice. No clock is needed to tell.
 */
export function findRepetitions(lines: readonly JournalLine[], recordedBy: ReadonlyMap<string, number>): Repetition {
  const runTwice = new Set<string>();
  const redone = new Set<string>();
  const performed = new Map<string, number>();
  const recorded = new Set<string>();
  for (const { kind, attempt, id } of lines) {
    switch (kind) {
      case 'started': {
        const owner = recordedBy.get(id);
        if (recorded.has(`${attempt} ${id}`) || (owner !== undefined && owner < attempt)) runTwice.add(id);
        else if ((performed.get(id) ?? attempt) < attempt) redone.add(id);
        break;
      }
      case 'performed':
        performed.set(id, attempt);
        break;
      case 'recorded':
        recorded.add(`${attempt} ${id}`);
        break;
    }
  }
  return { runTwice: [...runTwice].sort(), redoneUnrecorded: [...redone].sort() };
}
