/** Events in order of (time, sequence): a binary heap. */

/** Who an event happens to: events of the dead are dropped, those of the paused wait. */
export interface Owner {
  alive: boolean;
  pausedUntilUs: number;
  /** Set when an event of its ran; whoever looks after it clears it. */
  touched: boolean;
}

export interface SimEvent {
  timeUs: number;
  sequence: number;
  readonly owner: Owner | null;
  readonly run: () => void;
  cancelled: boolean;
}

export class EventQueue {
  readonly #heap: SimEvent[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt] as SimEvent;
      if (!before(event, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = event;
  }

  pop(): SimEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = at * 2 + 1;
      if (childAt >= heap.length) break;
      const right = heap[childAt + 1];
      if (right !== undefined && before(right, heap[childAt] as SimEvent)) childAt += 1;
      const child = heap[childAt] as SimEvent;
      if (!before(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.sequence < b.sequence);
}
