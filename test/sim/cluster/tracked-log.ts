/** What the oracles know of a log: term and content hash of each entry, by index. */
import type { Entry } from '../../../src/raft/types.ts';

export interface Tag {
  readonly term: number;
  readonly hash: number;
}

export function tagOf(entry: Entry): Tag {
  return { term: entry.term, hash: contentHash(entry.kind, entry.payload) };
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
  #tags: Tag[] = [];

  get lastIndex(): number {
    return this.#tags.length;
  }
  get lastTerm(): number {
    return this.#tags.at(-1)?.term ?? 0;
  }

  at(index: number): Tag | undefined {
    return this.#tags[index - 1];
  }

  /** Replaces everything from `firstIndex` on. */
  replace(firstIndex: number, tags: readonly Tag[]): void {
    if (firstIndex > this.#tags.length + 1) throw new Error(`a gap before index ${firstIndex}`);
    this.#tags.length = firstIndex - 1;
    for (const tag of tags) this.#tags.push(tag);
  }

  assign(other: TrackedLog): void {
    this.#tags = other.#tags.slice();
  }

  clear(): void {
    this.#tags = [];
  }
}

/** True when a log ending in `a` is at least as up to date as one ending in `b` (Raft paper, 5.4.1). */
export function atLeastAsUpToDate(a: TrackedLog, b: TrackedLog): boolean {
  return a.lastTerm > b.lastTerm || (a.lastTerm === b.lastTerm && a.lastIndex >= b.lastIndex);
}
