/** What the oracles know of a log: term, content hash and, where it is one, configuration of each entry, by index. */
import { fromBinary } from '@bufbuild/protobuf';
import { ConfigurationSchema } from '../../../src/gen/quorate/internal/v1/log_pb.ts';
import type { EntryKind, SnapshotMark } from '../../../src/raft/types.ts';
import { EMPTY_GROUP, type Group } from './quorum.ts';

export interface Tag {
  readonly term: number;
  readonly hash: number;
  /** Set for an entry that brings a configuration. */
  readonly group?: Group;
}

export interface TaggedEntry {
  readonly term: number;
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
}

/** Entries up to here are not in the log: the state stands for them. */
export interface Base {
  readonly index: number;
  readonly term: number;
  readonly group: Group;
  /** Entry that brought `group`. */
  readonly groupIndex: number;
}

export const NO_BASE: Base = { index: 0, term: 0, group: EMPTY_GROUP, groupIndex: 0 };

export function baseOf({ index, term, configuration }: SnapshotMark): Base {
  return { index, term, group: configuration.configuration, groupIndex: configuration.index };
}

export function tagOf(entry: TaggedEntry): Tag {
  const tag = { term: entry.term, hash: contentHash(entry.kind, entry.payload) };
  return entry.kind === 'configuration' ? { ...tag, group: groupOf(entry.payload) } : tag;
}

function groupOf(payload: Uint8Array): Group {
  const { voters, votersOutgoing, learners } = fromBinary(ConfigurationSchema, payload);
  return { voters, votersOutgoing, learners };
}

/** FNV-1a over kind and payload. */
export function contentHash(kind: string, payload: Uint8Array): number {
  let hash = 0x811c9dc5 ^ kind.length;
  for (let at = 0; at < payload.length; at += 1) hash = Math.imul(hash ^ (payload[at] as number), 0x01000193);
  return (Math.imul(hash ^ payload.length, 0x01000193) ^ kind.charCodeAt(0)) >>> 0;
}

export function sameTag(a: Tag | undefined, b: Tag | undefined): boolean {
  return a !== undefined && b !== undefined && a.term === b.term && a.hash === b.hash;
}

export class TrackedLog {
  #base: Base = NO_BASE;
  /** Of base + 1 and so on. */
  #tags: Tag[] = [];
  /** Configurations that entries of the log bring, oldest first. */
  #groups: { readonly index: number; readonly group: Group }[] = [];

  get base(): Base {
    return this.#base;
  }
  get lastIndex(): number {
    return this.#base.index + this.#tags.length;
  }
  get lastTerm(): number {
    return this.#tags.at(-1)?.term ?? this.#base.term;
  }

  at(index: number): Tag | undefined {
    return this.#tags[index - this.#base.index - 1];
  }

  /** 0 before the first entry; undefined for what the log does not say. */
  termAt(index: number): number | undefined {
    return index === this.#base.index ? this.#base.term : this.at(index)?.term;
  }

  /** Holds the entry, or stands on a state that covers it (whose content SE looks after). */
  covers(index: number, tag: Tag | undefined): boolean {
    return index <= this.#base.index || sameTag(this.at(index), tag);
  }

  /** The configuration in force at `index` and the entry that brought it. */
  groupAt(index: number): { readonly group: Group; readonly index: number } {
    for (let at = this.#groups.length - 1; at >= 0; at -= 1) {
      const found = this.#groups[at];
      if (found !== undefined && found.index <= index) return found;
    }
    return { group: this.#base.group, index: this.#base.groupIndex };
  }

  /** The configuration in force. */
  get group(): Group {
    return this.groupAt(this.lastIndex).group;
  }

  /** Replaces everything from `firstIndex` on. */
  replace(firstIndex: number, tags: readonly Tag[]): void {
    if (firstIndex > this.lastIndex + 1) throw new Error(`a gap before index ${firstIndex}`);
    if (firstIndex <= this.#base.index) throw new Error(`index ${firstIndex} is before the log`);
    this.#tags.length = firstIndex - this.#base.index - 1;
    while ((this.#groups.at(-1)?.index ?? 0) >= firstIndex) this.#groups.pop();
    for (const [offset, tag] of tags.entries()) {
      this.#tags.push(tag);
      if (tag.group !== undefined) this.#groups.push({ index: firstIndex + offset, group: tag.group });
    }
  }

  /** The log begins after `base` now. Entries behind it stay if `keepEntries`. */
  rebase(base: Base, keepEntries: boolean): void {
    const keeps = keepEntries && base.index >= this.#base.index;
    this.#tags = keeps ? this.#tags.slice(base.index - this.#base.index) : [];
    this.#groups = keeps ? this.#groups.filter(({ index }) => index > base.index) : [];
    this.#base = base;
  }

  assign(other: TrackedLog): void {
    this.#base = other.#base;
    this.#tags = other.#tags.slice();
    this.#groups = other.#groups.slice();
  }

  clear(): void {
    this.#base = NO_BASE;
    this.#tags = [];
    this.#groups = [];
  }
}

/** True when a log ending in `a` is at least as up to date as one ending in `b` (Raft paper, 5.4.1). */
export function atLeastAsUpToDate(a: TrackedLog, b: TrackedLog): boolean {
  return a.lastTerm > b.lastTerm || (a.lastTerm === b.lastTerm && a.lastIndex >= b.lastIndex);
}
