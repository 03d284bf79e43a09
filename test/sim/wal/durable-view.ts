/**
 * What a member could read back after a power cut now: decoded from the bytes on the simulated disk, with a reader
 * of its own. Reads on from where it stopped; `reset` after anything but appending may have happened.
 */
import { EMPTY_GROUP, type Group } from '../cluster/quorum.ts';
import { TrackedLog } from '../cluster/tracked-log.ts';
import type { Inode } from '../ports/inode.ts';
import { readSegment, type SegmentCursor, startCursor } from './segment-reader.ts';

export type NamedFiles = readonly (readonly [path: string, file: Inode])[];

export class DurableView {
  readonly log = new TrackedLog();
  term = 0;
  votedFor: string | null = null;
  /** Every vote that is on the disk, by term. */
  readonly votes = new Map<number, string>();
  readonly #files: () => NamedFiles;
  #cursor: SegmentCursor = startCursor(0);
  #version = -1;
  #seen: NamedFiles = [];
  #membership: { readonly index: number; readonly group: Group } = { index: 0, group: EMPTY_GROUP };
  /** The oldest segment has said where the log begins. */
  #begun = false;
  /** Sequence of that segment. */
  #first = 0;

  constructor(files: () => NamedFiles) {
    this.#files = files;
  }

  reset(): void {
    this.#startAt(0);
    this.#version = -1;
  }

  /** At the oldest segment that is no older than the one with this sequence. */
  #startAt(sequence: number): void {
    this.log.clear();
    this.votes.clear();
    this.term = 0;
    this.votedFor = null;
    this.#cursor = startCursor(sequence);
    this.#begun = false;
  }

  refresh(): void {
    const all = this.#files();
    let version = all.length;
    for (const [, file] of all) version += file.durableVersion;
    if (version === this.#version && all === this.#seen) return;
    this.#version = version;
    this.#seen = all;
    const files = all.filter(([path]) => path.endsWith('.wal') && path.startsWith('wal/'));
    // Its segment was let go while it stood in it, with records that it had not read: those after it are read from their beginning.
    if (this.#cursor.path !== '' && !files.some(([path]) => path === this.#cursor.path)) this.#startAt(0);
    while (!this.#readOn(files)) this.#startAt(this.#first + 1);
  }

  /**
   * False when the log cannot begin at the oldest segment, because something before its first entry is replaced later on: a crash
   * in the middle of a compaction (CP1 in src/wal/compaction.ts) leaves such a log, and so does damage to the oldest segment.
   */
  #readOn(files: NamedFiles): boolean {
    let fits = true;
    readSegment(this.#cursor, files, {
      hardState: (term, votedFor) => {
        this.term = term;
        this.votedFor = votedFor;
        if (votedFor !== null) this.votes.set(term, votedFor);
      },
      membership: (index, group) => {
        this.#membership = { index, group };
      },
      position: (index, term) => {
        const { group, index: groupIndex } = this.#membership;
        if (this.#begun) return;
        this.log.rebase({ index, term, group, groupIndex }, false);
        this.#begun = true;
        this.#first = this.#cursor.sequence;
      },
      reset: (base, keepEntries) => {
        // Said again of a log whose beginning has been cut further since: nothing of what is there goes.
        if (!keepEntries || base.index >= this.log.base.index) this.log.rebase(base, keepEntries);
      },
      entries: (firstIndex, tags) => {
        // Where nothing is missing, `replace` complains: the log never does that.
        if (this.#first > 1 && firstIndex <= this.log.base.index) fits = false;
        if (fits) this.log.replace(firstIndex, tags);
      },
    });
    return fits;
  }
}
