/** A leader over the real state machine: it loses proposals and leadership as each test decides. Time is told. */
import type { CallOutcome, CompensationCall, Hook } from '../../src/effector/hook.ts';
import { RecoveryDriver, type RecoveryDriverDeps } from '../../src/effector/recovery-driver.ts';
import { WorkerQueues } from '../../src/effector/worker-queues.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import type { CommandBody, CommandResult } from '../../src/machine/types.ts';
import type { LeaderPort, LeaderWork } from '../../src/node/leader-work.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { type ClusterTimeMs, memberId, term } from '../../src/types/ids.ts';
import type { Ward } from '../machine/recovery-kit.ts';

/** What becomes of a proposal. `lost`: it is never applied. `unheard`: it is, and its answer does not come. */
export type Fate = 'applied' | 'lost' | 'unheard';

const TICK_MS = 20;

export class ManualClock implements Clock {
  nowMs = 5_000;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  get timers(): number {
    return this.#timers.length;
  }

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  defer(run: () => void): void {
    setImmediate(run);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (;;) {
      const [due] = this.#timers.filter(({ atMs }) => atMs <= this.nowMs).sort((x, y) => x.atMs - y.atMs);
      if (due === undefined) return;
      this.#timers = this.#timers.filter((one) => one !== due);
      due.run();
    }
  }
}

/** One member's time as the leader. */
export class Reigning {
  readonly work: LeaderWork;
  readonly proposed: CommandBody[] = [];
  readonly #stage: Stage;
  readonly #port: { leading: boolean };

  constructor(stage: Stage, work: LeaderWork) {
    this.#stage = stage;
    this.work = work;
    const { ward, clock } = stage;
    ward.term++;
    // The first entry of its term.
    ward.entry(null);
    const port: LeaderPort & { leading: boolean } = {
      memberId: memberId('a'),
      term: term(ward.term),
      leading: true,
      view: ward.machine,
      clock,
      random: { below: (bound) => stage.random(bound) },
      raftStatus: () => {
        throw new Error('not asked');
      },
      nowMs: () => ward.timeMs as ClusterTimeMs,
      propose: (body, traceId = '') => this.#propose(body, traceId),
    };
    this.#port = port;
    work.lead(port);
  }

  get leading(): boolean {
    return this.#port.leading;
  }

  depose(): void {
    this.#port.leading = false;
    this.work.depose();
  }

  async #propose(body: CommandBody, traceId: string): Promise<CommandResult | null> {
    if (!this.#port.leading) return null;
    this.proposed.push(body);
    const fate = this.#stage.fate(body, this);
    if (fate === 'lost') return null;
    const { result, events } = this.#stage.ward.apply(body, { traceId, caller: '' });
    if (this.#port.leading) this.work.applied(events);
    await Promise.resolve();
    return fate === 'unheard' || !this.#port.leading ? null : result;
  }
}

export class Stage {
  readonly ward: Ward;
  readonly clock = new ManualClock();
  readonly bugs: unknown[] = [];
  fate: (body: CommandBody, reign: Reigning) => Fate = () => 'applied';
  random: (bound: number) => number = (bound) => bound - 1;
  reign: Reigning | null = null;

  constructor(ward: Ward) {
    this.ward = ward;
  }

  /** A new leader; the old one is told, as if it had heard at once. */
  lead(work: LeaderWork): Reigning {
    this.reign?.depose();
    this.reign = new Reigning(this, work);
    return this.reign;
  }

  driver(hook: Hook, more: Partial<RecoveryDriverDeps> = {}): RecoveryDriver {
    const workers = new WorkerQueues(this.clock);
    return new RecoveryDriver({
      hooks: { http: hook, grpc: hook, worker: hook },
      workers,
      checkDocuments: async () => ({ ok: true, detail: '' }),
      onBug: (error) => this.bugs.push(error),
      ...more,
    });
  }

  /** One tick, and all that follows from it without more time. */
  async tick(ms = TICK_MS): Promise<void> {
    this.clock.advance(ms);
    this.ward.timeMs += ms;
    this.reign?.work.tick(this.clock.nowMs);
    await quiet();
  }

  /** Ticks until `done`, which must be soon. */
  async until(done: () => boolean, ms = TICK_MS): Promise<void> {
    for (let ticks = 0; !done(); ticks++) {
      if (ticks > 2_000) throw new Error(`it does not come to that: ${JSON.stringify(this.recoveries())}`);
      await this.tick(ms);
    }
  }

  recoveries(): readonly RecoveryRow[] {
    return this.ward.machine.rows.recovery.range('', '\u007f', 100_000).map(([, row]) => row);
  }
}

/** Until nothing is left to run but what waits for time or for a test. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A receiver as docs/compensators.md wants it: once for each key, and nothing for a token below the highest. */
export class Receiver implements Hook {
  /** Keys in the order in which their effects were undone. */
  readonly undone: string[] = [];
  readonly heard: CompensationCall[] = [];
  readonly refused: CompensationCall[] = [];
  readonly #tokens = new Map<string, number>();
  /** What becomes of a call on its way; null: it arrives, and its answer, too. */
  way: (call: CompensationCall) => Promise<CallOutcome> | null = () => null;
  underWay = 0;
  underWayMax = 0;

  async call(call: CompensationCall): Promise<CallOutcome> {
    this.underWay++;
    this.underWayMax = Math.max(this.underWayMax, this.underWay);
    try {
      return await (this.way(call) ?? this.receive(call));
    } finally {
      this.underWay--;
    }
  }

  receive(call: CompensationCall): CallOutcome {
    const where = `${call.loop} ${call.phase}`;
    const highest = this.#tokens.get(where) ?? 0;
    if (call.token < highest) {
      this.refused.push(call);
      return { kind: 'stale' };
    }
    this.#tokens.set(where, call.token);
    this.heard.push(call);
    if (!this.undone.includes(call.key)) this.undone.push(call.key);
    return { kind: 'done' };
  }
}
