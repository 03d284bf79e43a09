/**
 * When each agent was heard last, in the leader's memory (D3). Pure: time is handed in, monotonic, milliseconds.
 *
 * AW1  The map is in the order of the last beats, oldest first: who is overdue stands at its beginning, and a look at it costs what
 *      it finds.
 */
export class AgentWatch {
  readonly #lastBeatMs = new Map<string, number>();

  get size(): number {
    return this.#lastBeatMs.size;
  }
  has(agent: string): boolean {
    return this.#lastBeatMs.has(agent);
  }

  /** `nowMs` is at least that of any call before. */
  beat(agent: string, nowMs: number): void {
    this.#lastBeatMs.delete(agent);
    this.#lastBeatMs.set(agent, nowMs);
  }

  forget(agent: string): void {
    this.#lastBeatMs.delete(agent);
  }

  clear(): void {
    this.#lastBeatMs.clear();
  }

  /** Agents that missed more than `missesMax` whole intervals, oldest first, at most `limit`, with their silence in milliseconds. */
  overdue(nowMs: number, intervalMs: number, missesMax: number, limit: number): readonly (readonly [string, number])[] {
    const found: (readonly [string, number])[] = [];
    for (const [agent, lastMs] of this.#lastBeatMs) {
      if (found.length === limit || missedBeats(nowMs - lastMs, intervalMs) <= missesMax) break;
      found.push([agent, nowMs - lastMs]);
    }
    return found;
  }
}

/** Whole intervals of silence. */
export function missedBeats(silentMs: number, intervalMs: number): number {
  return Math.floor(Math.max(0, silentMs) / intervalMs);
}
