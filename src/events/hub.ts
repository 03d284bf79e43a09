/**
 * Watches over the event history (P4).
 *
 * A feed holds a position, not a buffer: it reads from the machine's event table until it has all of it, and then waits for
 * `publish` to hand it the next revision. Both ways go through the position, so nothing comes twice or is left out
 * at the seam, whether `publish` is called before or after the reader sees an entry in the table.
 *
 * H1. Everything below `#from` has been delivered or was not asked for.
 * H2. A feed waits only when the table holds nothing at or above `#from`.
 */
import type { MachineView } from '../machine/api.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { WatchFeed } from '../node/types.ts';
import { assert } from '../types/assert.ts';
import { type Revision, revision } from '../types/ids.ts';
import { WATCH_BUFFER_EVENTS_MAX, WATCH_PAGE_EVENTS, WATCHES_MAX } from '../types/limits.ts';

export interface EventHubLimits {
  /** Feeds open at a time. */
  readonly watchesMax: number;
  /** Events that a feed which had caught up may leave unread before it is cut off. */
  readonly bufferEventsMax: number;
  /** Events read from the history at a time. */
  readonly pageEvents: number;
}

export const DEFAULT_EVENT_HUB_LIMITS: EventHubLimits = {
  watchesMax: WATCHES_MAX,
  bufferEventsMax: WATCH_BUFFER_EVENTS_MAX,
  pageEvents: WATCH_PAGE_EVENTS,
};

type Batch = Awaited<ReturnType<WatchFeed['next']>>;

export class EventHub {
  readonly #limits: EventHubLimits;
  readonly #feeds = new Set<Feed>();
  #published = 0;
  #closed = false;

  constructor(limits: Partial<EventHubLimits> = {}) {
    this.#limits = { ...DEFAULT_EVENT_HUB_LIMITS, ...limits };
  }

  /** Open feeds. */
  get size(): number {
    return this.#feeds.size;
  }

  /** The events of one entry, once the machine has applied it. Called in the order of the entries; none is fine. */
  publish(events: readonly MachineEvent[]): void {
    const first = events[0];
    if (first === undefined) return;
    assert(first.revision > this.#published, `published ${first.revision} after ${this.#published}`);
    assert(
      events.every((event) => event.revision === first.revision),
      'events of one entry have one revision',
    );
    this.#published = first.revision;
    for (const feed of this.#feeds) feed.publish(first.revision, events);
  }

  /**
   * A feed of events from revision `from` on (inclusive); 0: those of entries that `view` has not applied yet.
   * null when there are too many feeds. A feed counts until it is closed or has given an end (`compacted`,
   * `overflow`, `closed`), which it repeats when asked again.
   */
  open(from: Revision, view: MachineView): WatchFeed | null {
    if (this.#feeds.size >= this.#limits.watchesMax) return null;
    const start = from === 0 ? revision(view.appliedIndex + 1) : from;
    const feed = new Feed(start, view, this.#limits, () => this.#feeds.delete(feed));
    if (this.#closed) feed.close();
    else this.#feeds.add(feed);
    return feed;
  }

  /**
   * The state was replaced by a newer one that was not led to entry by entry (R4): every feed goes on from its position in the
   * history of `view`, or learns that it is compacted. Called before anything newer is published.
   */
  replaced(view: MachineView): void {
    this.#published = Math.max(this.#published, view.appliedIndex);
    for (const feed of [...this.#feeds]) feed.replaced(view);
  }

  /** Ends all feeds with `closed`; those opened later are closed from the start. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const feed of [...this.#feeds]) feed.close();
  }
}

class Feed implements WatchFeed {
  #view: MachineView;
  readonly #limits: EventHubLimits;
  readonly #onEnd: () => void;
  #from: Revision;
  /** It has had everything at some time; from then on its lag is bounded. */
  #caughtUp = false;
  /** Events published since then and not read. */
  #lag = 0;
  #waiting: ((batch: Batch) => void) | null = null;
  #end: Batch | null = null;

  constructor(from: Revision, view: MachineView, limits: EventHubLimits, onEnd: () => void) {
    this.#from = from;
    this.#view = view;
    this.#limits = limits;
    this.#onEnd = onEnd;
  }

  next(): Promise<Batch> {
    assert(this.#waiting === null, 'one next() at a time');
    const batch = this.#read();
    if (batch !== null) return Promise.resolve(batch);
    this.#caughtUp = true;
    this.#lag = 0;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** What the history holds from the position on, or the end of the feed; null when there is nothing yet (H2). */
  #read(): Batch | null {
    if (this.#end !== null) return this.#end;
    const firstRevision = this.#view.firstEventRevision();
    if (this.#from < firstRevision) return this.#finish({ kind: 'compacted', firstRevision });
    const events = this.#view.events(this.#from, this.#limits.pageEvents);
    const last = events.at(-1);
    if (last === undefined) return null;
    this.#from = revision(last.revision + 1);
    this.#lag = Math.max(0, this.#lag - events.length);
    return { kind: 'events', events };
  }

  /** Reads the history of `view` from now on; one that waits gets what it holds at once. */
  replaced(view: MachineView): void {
    this.#view = view;
    // What was counted as lag is in the new history, which is read page by page.
    this.#caughtUp = false;
    this.#lag = 0;
    if (this.#waiting === null) return;
    const batch = this.#read();
    if (batch !== null) this.#resolve(batch);
    else this.#caughtUp = true;
  }

  /** Called by the hub for each revision with events. */
  publish(at: Revision, events: readonly MachineEvent[]): void {
    // Read from the table already, or before what was asked for.
    if (at < this.#from) return;
    if (this.#waiting !== null) {
      this.#from = revision(at + 1);
      this.#resolve({ kind: 'events', events });
      return;
    }
    if (!this.#caughtUp) return;
    this.#lag += events.length;
    if (this.#lag > this.#limits.bufferEventsMax) this.#finish({ kind: 'overflow' });
  }

  close(): void {
    if (this.#end === null) this.#finish({ kind: 'closed' });
  }

  #finish(end: Batch): Batch {
    this.#end = end;
    this.#onEnd();
    this.#resolve(end);
    return end;
  }

  #resolve(batch: Batch): void {
    const resolve = this.#waiting;
    this.#waiting = null;
    resolve?.(batch);
  }
}
