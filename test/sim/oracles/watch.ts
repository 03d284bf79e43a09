/**
 * WT, watches: a watch, resumed wherever and whenever, sees every event once, in order, whole revisions at a time.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { MachineEvent } from '../../../src/machine/types.ts';
import type { Entry } from '../../../src/raft/types.ts';
import { revision } from '../../../src/types/ids.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

/** More events than one entry can cause. */
const EVENTS_OF_ENTRY_MAX = 1_000;

export class WatchOrder implements Oracle {
  readonly id = 'WT';
  readonly #scene: Scene;
  /** What there is to see: the events of every applied entry, in order. */
  readonly #history: MachineEvent[] = [];
  #seenIndex = 0;
  /** Events delivered so far, by watcher. */
  readonly #delivered = new Map<string, number>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  applied(_member: SimMember, entry: Entry, view: MachineView): void {
    if (entry.index <= this.#seenIndex) return;
    this.#seenIndex = entry.index;
    this.#history.push(...view.events(revision(entry.index), EVENTS_OF_ENTRY_MAX));
  }

  /** The watcher was handed these; before that it had resumed right behind what it was handed last. */
  delivered(watcher: string, member: SimMember, events: readonly MachineEvent[]): void {
    let at = this.#delivered.get(watcher) ?? 0;
    for (const event of events) {
      const expected = this.#history[at];
      if (expected === undefined || nameOf(expected) !== nameOf(event)) {
        this.#scene.violate(
          'WT',
          `watch ${watcher} on ${member.id} sees ${nameOf(event)} where ${expected === undefined ? 'nothing' : nameOf(expected)} belongs`,
        );
        return;
      }
      at += 1;
    }
    this.#delivered.set(watcher, at);
    if (events.length > 0 && this.#history[at]?.revision === events.at(-1)?.revision) {
      this.#scene.violate('WT', `watch ${watcher} on ${member.id} sees only a part of revision ${events[0]?.revision}`);
    }
  }

  /** True when the watcher has seen everything. */
  isComplete(watcher: string): boolean {
    return (this.#delivered.get(watcher) ?? 0) === this.#history.length;
  }
}

function nameOf(event: MachineEvent): string {
  const { kind, loop, g, phase, attempt, token, traceId, outcome, timeMs } = event;
  return `${event.revision}.${event.ordinal} ${kind} ${loop}/${g}/${phase} ${attempt} ${token} ${traceId} ${outcome} ${timeMs}`;
}
