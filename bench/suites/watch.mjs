/**
 * One writer and 1,000 watchers, a third of them at each member: from the start of a write until every watcher has it, and how many
 * events are delivered in a second while the writer writes one after the other. The watchers share one process with the writer.
 */
import { GrpcLoad } from '../lib/grpc-load.mjs';

const WATCHERS = 1_000;
const WATCHERS_PER_CONNECTION = 50;
const SINGLE_WRITES = 50;
const WRITES = 300;
const BEGIN_MS_MAX = 30_000;

/** Counts what all watchers have seen; `seen(n)` resolves when they have had n events together. */
class Watchers {
  events = 0;
  begun = 0;
  load;
  #waiting = [];
  #failure = null;

  constructor(system, count) {
    const addresses = system.positions.map((i) => system.place.clientAddress(i));
    this.load = new GrpcLoad(addresses, Math.max(addresses.length, Math.ceil(count / WATCHERS_PER_CONNECTION)));
    for (let i = 0; i < count; i += 1) {
      let first = true;
      const onMessage = (message) => {
        if (first) this.begun += 1;
        first = false;
        this.events += system.eventsIn(message);
        this.#look();
      };
      this.load.stream(system.watch, onMessage, (error) => this.#fail(error));
    }
  }

  /** Resolves when `condition` holds. Rejects when a watch ends, or time is up. */
  when(what, condition) {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${what}: ${this.begun} watches, ${this.events} events`));
      this.#waiting.push({ condition, resolve, reject, timer: setTimeout(late, BEGIN_MS_MAX) });
      this.#look();
    });
  }

  #look() {
    for (const waiting of this.#waiting) {
      if (this.#failure !== null) waiting.reject(this.#failure);
      else if (waiting.condition()) waiting.resolve();
      else continue;
      clearTimeout(waiting.timer);
      waiting.over = true;
    }
    this.#waiting = this.#waiting.filter(({ over }) => !over);
  }

  #fail(error) {
    this.#failure = error;
    this.#look();
  }

  close() {
    this.load.close();
  }
}

export const watch = {
  name: 'watch',
  needs: [],
  stages: () => [{ id: '1000' }],
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  async measure(system, _stage, context) {
    const count = context.size(WATCHERS, 60);
    const leader = await system.settled();
    const watchers = new Watchers(system, count);
    try {
      await watchers.when('all watches begin', () => watchers.begun === count);
      let wanted = watchers.events;
      const everywhereMs = [];
      for (let i = 0; i < context.size(SINGLE_WRITES, 5); i += 1) {
        wanted += count;
        const startMs = performance.now();
        await system.call(leader, system.write);
        await watchers.when('every watcher has the event', () => watchers.events >= wanted);
        everywhereMs.push(performance.now() - startMs);
      }
      const writes = context.size(WRITES, 10);
      const startMs = performance.now();
      for (let i = 0; i < writes; i += 1) await system.call(leader, system.write);
      wanted += writes * count;
      await watchers.when('every watcher has all events', () => watchers.events >= wanted);
      const seconds = (performance.now() - startMs) / 1_000;
      return { watch_events_rate: (writes * count) / seconds, watch_everywhere_p50: context.median(everywhereMs) };
    } finally {
      watchers.close();
    }
  },
};
