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
  #cursor: SegmentCursor = startCursor();
  #version = -1;
  #seen: NamedFiles = [];
  #membership: { readonly index: number; readonly group: Group } = { index: 0, group: EMPTY_GROUP };
  /** The oldest segment has said where the log begins. */
  #begun = false;

  constructor(files: () => NamedFiles) {
    this.#files = files;
  }

  reset(): void {
    this.log.clear();
    this.votes.clear();
    this.term = 0;
    this.votedFor = null;
    this.#cursor = startCursor();
    this.#version = -1;
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
        if (!this.#begun) this.log.rebase({ index, term, group, groupIndex }, false);
        this.#begun = true;
      },
      reset: (base, keepEntries) => this.log.rebase(base, keepEntries),
      entries: (firstIndex, tags) => this.log.replace(firstIndex, tags),
    });
  }
}
