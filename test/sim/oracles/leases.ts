/**
 * LK: fencing tokens rise, work is reported with the newest one only, and no session ends before its time: its ttl after its last
 * request, or after the first command of the term, whichever is later (a new leader gives everybody the full time again). Counted
 * from the committed commands alone.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Command, MachineEvent } from '../../../src/machine/types.ts';
import { sessionId } from '../../../src/types/ids.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

interface Session {
  readonly ttlMs: number;
  lastSeenMs: number;
}

export class Leases implements Historian {
  readonly id = 'LK';
  readonly #scene: Scene;
  #timeMs = 0;
  #term = 0;
  /** State time at the first command of the term. */
  #termStartMs = 0;
  /** By id. */
  readonly #sessions = new Map<number, Session>();
  /** Newest token, by run. */
  readonly #tokens = new Map<string, number>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  committed({ index, term, command, events, view }: Committed): void {
    for (const event of events) this.#checkToken(event);
    if (command === null) return;
    this.#timeMs = Math.max(this.#timeMs, command.timeMs);
    if (term !== this.#term) {
      this.#term = term;
      this.#termStartMs = this.#timeMs;
    }
    this.#checkSessions(index, command, view);
    this.#learn(index, command, view);
  }

  #checkToken({ kind, loop, g, phase, token, revision }: MachineEvent): void {
    if (kind !== 'phase_transition.started' && kind !== 'phase_transition.progress') return;
    const run = runName({ loop, g, phase });
    const newest = this.#tokens.get(run) ?? 0;
    if (kind === 'phase_transition.started') {
      if (token <= newest) this.#violate(revision, `${run} begins with token ${token} after ${newest}`);
      this.#tokens.set(run, token);
    } else if (token !== newest) {
      this.#violate(revision, `progress of ${run} counts with token ${token}; the newest is ${newest}`);
    }
  }

  #checkSessions(index: number, command: Command, view: MachineView): void {
    for (const [id, { ttlMs, lastSeenMs }] of this.#sessions) {
      if (view.session(sessionId(id)) !== null) continue;
      this.#sessions.delete(id);
      if (command.body.kind === 'closeSession' && command.session?.id === id) continue;
      const endsMs = Math.max(lastSeenMs, this.#termStartMs) + ttlMs;
      if (this.#timeMs < endsMs) this.#violate(index, `session ${id} ends at ${this.#timeMs}, before ${endsMs}`);
    }
  }

  /** A request renews its session. */
  #learn(index: number, command: Command, view: MachineView): void {
    const asks = command.session === null ? undefined : this.#sessions.get(command.session.id);
    if (asks !== undefined) asks.lastSeenMs = this.#timeMs;
    if (command.body.kind !== 'openSession') return;
    const opened = view.session(sessionId(index));
    if (opened === null) return;
    const { ttlMs } = command.body;
    if (ttlMs !== 0 && opened.ttlMs !== ttlMs) {
      this.#violate(index, `a session of ${ttlMs} ms was asked for, and lives for ${opened.ttlMs}`);
    }
    this.#sessions.set(index, { ttlMs: opened.ttlMs, lastSeenMs: this.#timeMs });
  }

  #violate(index: number, text: string): void {
    this.#scene.violate('LK', `at revision ${index} ${text}`);
  }
}
