import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventHub } from '../../src/events/hub.ts';
import type { MachineEvent } from '../../src/machine/types.ts';
import type { WatchFeed } from '../../src/node/types.ts';
import { must } from '../../src/types/assert.ts';
import { type Revision, revision } from '../../src/types/ids.ts';
import { Bench } from '../machine/kit.ts';

const NOW = 0 as Revision;

/** A bench whose every entry is published after it was applied. */
class Published extends Bench {
  readonly hub: EventHub;
  constructor(hub: EventHub, some: ConstructorParameters<typeof Bench>[0] = {}) {
    super(some);
    this.hub = hub;
  }
  override entry(command: Parameters<Bench['entry']>[0]) {
    const applied = super.entry(command);
    this.hub.publish(applied.events);
    return applied;
  }
}

const names = (events: readonly MachineEvent[]): string[] =>
  events.map((event) => `${event.revision}.${event.ordinal}`);

function eventsOf(batch: Awaited<ReturnType<WatchFeed['next']>>): readonly MachineEvent[] {
  if (batch.kind !== 'events') throw new Error(`no events: ${batch.kind}`);
  return batch.events;
}

/** What `feed` gives until it has to wait, or ends. `waiting`: the promise that was not settled. */
async function drain(
  feed: WatchFeed,
): Promise<{ events: MachineEvent[]; end: string; waiting: Promise<unknown> | null }> {
  const events: MachineEvent[] = [];
  for (;;) {
    const next = feed.next();
    const batch = await settled(next);
    if (batch === null) return { events, end: 'waiting', waiting: next };
    if (batch.kind !== 'events') return { events, end: batch.kind, waiting: null };
    expect(batch.events.length).toBeGreaterThan(0);
    events.push(...batch.events);
  }
}

/** The value of a promise that is settled already, or null. Promise reactions run in order: no clock is needed. */
async function settled<T>(promise: Promise<T>): Promise<T | null> {
  return Promise.race([promise, Promise.resolve().then(() => null)]);
}

describe('P4: a watch', () => {
  it('resumes from every revision with the same sequence, history then live', async () => {
    const bench = new Published(new EventHub({ pageEvents: 3 }));
    bench.createLoop();
    bench.round();
    const middle = bench.machine.appliedIndex;
    const feeds = Array.from({ length: middle + 3 }, (_, i) => ({
      from: i + 1,
      feed: must(bench.hub.open(revision(i + 1), bench.machine), 'feed'),
      seen: [] as MachineEvent[],
    }));
    // Half of them have read their history when the live events come, half have not.
    const waits = new Map<WatchFeed, Promise<unknown>>();
    for (const one of feeds.filter(({ from }) => from % 2 === 0)) {
      const { events, end, waiting } = await drain(one.feed);
      expect(end).toBe('waiting');
      one.seen.push(...events);
      waits.set(one.feed, must(waiting, 'waiting'));
    }
    bench.entry(null);
    bench.createLoop('other');
    for (const one of feeds) {
      const waited = waits.get(one.feed);
      if (waited !== undefined && one.from <= bench.machine.appliedIndex) {
        const batch = (await waited) as { kind: string; events: MachineEvent[] };
        expect(batch.kind).toBe('events');
        one.seen.push(...batch.events);
      }
      if (waited !== undefined && one.from > bench.machine.appliedIndex) continue;
      one.seen.push(...(await drain(one.feed)).events);
    }
    expect(bench.machine.appliedIndex).toBe(middle + 2);
    for (const { from, seen } of feeds) {
      expect(names(seen)).toEqual(names(bench.events.filter((event) => event.revision >= from)));
    }
  });

  it('from 0 begins with what is not applied yet', async () => {
    const bench = new Published(new EventHub());
    bench.createLoop();
    const feed = must(bench.hub.open(NOW, bench.machine), 'feed');
    const next = feed.next();
    expect(await settled(next)).toBeNull();
    bench.createLoop('other');
    expect(await next).toEqual({ kind: 'events', events: bench.events.slice(-2) });
    expect(bench.events.at(-1)?.revision).toBe(2);
  });

  it('gives whole revisions, also where a page ends', async () => {
    const bench = new Published(new EventHub({ pageEvents: 1 }));
    bench.createLoop();
    bench.createLoop('other');
    const feed = must(bench.hub.open(revision(1), bench.machine), 'feed');
    expect(await feed.next()).toEqual({ kind: 'events', events: bench.events.slice(0, 2) });
    expect(await feed.next()).toEqual({ kind: 'events', events: bench.events.slice(2) });
  });

  it('WT: in any interleaving of applying, publishing and reading: no gap, no duplicate', async () => {
    // 'apply' and 'publish' apart: a reader may see an entry in the table before it is published.
    const step = fc.constantFrom('apply', 'apply', 'publish', 'read', 'read2', 'open');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 4 }), async (steps, pageEvents) => {
        const hub = new EventHub({ pageEvents });
        const bench = new Bench();
        const unpublished: (readonly MachineEvent[])[] = [];
        const readers = [0, 1, 2].map((i) => new Reader(hub, bench, i));
        for (const todo of steps) {
          if (todo === 'apply') {
            const body = { kind: 'createLoop', loop: `l${bench.machine.appliedIndex % 7}`, plan: '' } as const;
            unpublished.push(bench.apply(body).events);
          } else if (todo === 'publish') hub.publish(unpublished.shift() ?? []);
          else if (todo === 'open') must(readers[2], 'reader').reopen();
          else await must(readers[todo === 'read' ? 0 : 1], 'reader').read();
        }
        for (const events of unpublished) hub.publish(events);
        for (const reader of readers) await reader.finish();
      }),
      { numRuns: 300 },
    );
  });

  it('a reader that had caught up and is too slow is cut off, and can resume from where it was', async () => {
    const bench = new Published(new EventHub({ bufferEventsMax: 4 }));
    const feed = must(bench.hub.open(NOW, bench.machine), 'feed');
    const first = feed.next();
    bench.createLoop('a');
    expect(names(eventsOf(await first))).toEqual(['1.0', '1.1']);
    bench.createLoop('b');
    bench.createLoop('c');
    expect(bench.hub.size).toBe(1);
    bench.createLoop('d');
    expect(bench.hub.size).toBe(0);
    expect(await feed.next()).toEqual({ kind: 'overflow' });
    expect(await feed.next()).toEqual({ kind: 'overflow' });
    const again = must(bench.hub.open(revision(2), bench.machine), 'feed');
    expect(names((await drain(again)).events)).toEqual(['2.0', '2.1', '3.0', '3.1', '4.0', '4.1']);
  });

  it('reading keeps it alive, however much comes; reading history is not being slow', async () => {
    const bench = new Published(new EventHub({ bufferEventsMax: 4, pageEvents: 2 }));
    for (let i = 0; i < 10; i++) bench.createLoop(`old${i}`);
    const feed = must(bench.hub.open(revision(1), bench.machine), 'feed');
    await feed.next();
    for (let i = 0; i < 10; i++) bench.createLoop(`new${i}`);
    const { events, waiting } = await drain(feed);
    expect(names(events)).toEqual(names(bench.events.slice(2)));
    bench.createLoop('live');
    await waiting;
    for (let i = 0; i < 10; i++) {
      bench.createLoop(`a${i}`);
      bench.createLoop(`b${i}`);
      expect(((await feed.next()) as { kind: string }).kind).toBe('events');
      expect(((await feed.next()) as { kind: string }).kind).toBe('events');
    }
  });

  it('says when the history is gone: at the start, and when a reader falls behind it', async () => {
    const bench = new Published(new EventHub({ bufferEventsMax: 1_000, pageEvents: 1 }), { eventHistoryMax: 6 });
    for (let i = 0; i < 3; i++) bench.createLoop(`a${i}`);
    const slow = must(bench.hub.open(revision(1), bench.machine), 'feed');
    await slow.next();
    for (let i = 0; i < 3; i++) bench.createLoop(`b${i}`);
    expect(bench.machine.firstEventRevision()).toBe(4);
    expect(await slow.next()).toEqual({ kind: 'compacted', firstRevision: 4 });
    const late = must(bench.hub.open(revision(3), bench.machine), 'feed');
    expect(await late.next()).toEqual({ kind: 'compacted', firstRevision: 4 });
    expect(bench.hub.size).toBe(0);
    const just = must(bench.hub.open(revision(4), bench.machine), 'feed');
    expect(names((await drain(just)).events)).toEqual(['4.0', '4.1', '5.0', '5.1', '6.0', '6.1']);
  });

  it('from a revision that is not there yet waits for it and skips what is before', async () => {
    const bench = new Published(new EventHub());
    const feed = must(bench.hub.open(revision(3), bench.machine), 'feed');
    const next = feed.next();
    bench.createLoop('a');
    bench.createLoop('b');
    expect(await settled(next)).toBeNull();
    bench.createLoop('c');
    expect(names(eventsOf(await next))).toEqual(['3.0', '3.1']);
  });
});

describe('the hub', () => {
  it('refuses feeds beyond its bound and frees the place of a closed one', () => {
    const bench = new Published(new EventHub({ watchesMax: 2 }));
    const one = must(bench.hub.open(NOW, bench.machine), 'feed');
    must(bench.hub.open(NOW, bench.machine), 'feed');
    expect(bench.hub.open(NOW, bench.machine)).toBeNull();
    one.close();
    one.close();
    expect(bench.hub.size).toBe(1);
    must(bench.hub.open(NOW, bench.machine), 'feed');
  });

  it('ends all feeds when it closes, waiting ones too, and those opened later', async () => {
    const bench = new Published(new EventHub());
    bench.createLoop();
    const waiting = must(bench.hub.open(NOW, bench.machine), 'feed');
    const next = waiting.next();
    const idle = must(bench.hub.open(revision(1), bench.machine), 'feed');
    bench.hub.close();
    bench.hub.close();
    expect(await next).toEqual({ kind: 'closed' });
    expect(await idle.next()).toEqual({ kind: 'closed' });
    const late = must(bench.hub.open(revision(1), bench.machine), 'feed');
    expect(await late.next()).toEqual({ kind: 'closed' });
    expect(bench.hub.size).toBe(0);
  });

  it('a feed that its reader closes ends its own wait', async () => {
    const bench = new Published(new EventHub());
    const feed = must(bench.hub.open(NOW, bench.machine), 'feed');
    const next = feed.next();
    feed.close();
    expect(await next).toEqual({ kind: 'closed' });
    bench.createLoop();
    expect(await feed.next()).toEqual({ kind: 'closed' });
  });

  it('takes revisions in order only', () => {
    const bench = new Published(new EventHub());
    bench.createLoop();
    const events = bench.events.slice();
    expect(() => bench.hub.publish(events)).toThrow('published 1 after 1');
    bench.hub.publish([]);
  });

  it('one reader at a time', () => {
    const bench = new Published(new EventHub());
    const feed = must(bench.hub.open(NOW, bench.machine), 'feed');
    void feed.next();
    expect(() => feed.next()).toThrow('one next() at a time');
  });
});

/** Reads now and then, and checks at the end that it has had everything from where it began. */
class Reader {
  readonly #hub: EventHub;
  readonly #bench: Bench;
  #feed: WatchFeed;
  #from: number;
  #seen: MachineEvent[] = [];
  #pending: ReturnType<WatchFeed['next']> | null = null;

  constructor(hub: EventHub, bench: Bench, kind: number) {
    this.#hub = hub;
    this.#bench = bench;
    this.#from = kind === 1 ? 3 : 1;
    this.#feed = must(hub.open(revision(this.#from), bench.machine), 'feed');
  }

  reopen(): void {
    this.#feed.close();
    this.#from = this.#bench.machine.appliedIndex + 1;
    this.#seen = [];
    this.#pending = null;
    this.#feed = must(this.#hub.open(NOW, this.#bench.machine), 'feed');
  }

  /** True when there was something. */
  async read(): Promise<boolean> {
    this.#pending ??= this.#feed.next();
    const batch = await settled(this.#pending);
    if (batch === null) return false;
    this.#pending = null;
    if (batch.kind === 'events') this.#seen.push(...batch.events);
    else expect(batch.kind).toBe('events');
    return true;
  }

  async finish(): Promise<void> {
    while (await this.read());
    expect(names(this.#seen)).toEqual(names(this.#bench.events.filter((event) => event.revision >= this.#from)));
  }
}
