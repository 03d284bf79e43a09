/** A leader without a cluster: the real state machine, a clock that the test moves, and a log that takes what is proposed. */

import type { CommandBody, CommandResult } from '../../src/machine/types.ts';
import type { LeaderPort } from '../../src/node/leader-work.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { clusterTimeMs, memberId, term } from '../../src/types/ids.ts';
import { Bench } from '../machine/kit.ts';

export interface Proposed {
  readonly body: CommandBody;
  readonly traceId: string;
  /** Carries it out, or (null) loses it. */
  readonly settle: (lost?: null) => CommandResult | null;
}

export class FakeLeader {
  readonly bench = new Bench();
  /** Not settled yet, oldest first. */
  readonly waiting: Proposed[] = [];
  /** All that was ever proposed. */
  readonly proposed: CommandBody[] = [];
  readonly startMs = this.bench.timeMs;
  monotonicMs = 5_000;

  constructor(level = 3) {
    if (level > 1) this.bench.done('featureLevelSet', { kind: 'setFeatureLevel', level, pinned: false });
  }

  get nowMs(): number {
    return this.startMs + this.monotonicMs - 5_000;
  }

  /** A port of a new leadership. */
  port(): LeaderPort & { leading: boolean } {
    const bench = this.bench;
    const clock = { monotonicMs: () => this.monotonicMs, wallMs: () => this.nowMs } as Clock;
    const port = {
      memberId: memberId('m1'),
      term: term(1),
      leading: true,
      get view() {
        return bench.machine;
      },
      clock,
      random: { below: () => 0 },
      raftStatus: () => {
        throw new Error('nobody asks here');
      },
      nowMs: () => clusterTimeMs(this.nowMs),
      propose: (body: CommandBody, traceId = ''): Promise<CommandResult | null> => {
        if (!port.leading) return Promise.resolve(null);
        this.proposed.push(body);
        return new Promise((resolve) => {
          const settle = (lost?: null): CommandResult | null => {
            const result = lost === null ? null : this.carryOut(body, traceId);
            resolve(port.leading ? result : null);
            return result;
          };
          this.waiting.push({ body, traceId, settle });
        });
      },
    };
    return port;
  }

  /** Applies a command at the cluster's time. */
  carryOut(body: CommandBody, traceId = 'trace', caller = ''): CommandResult | null {
    return this.bench.apply(body, { timeMs: this.nowMs, traceId, caller }).result;
  }

  /** Everything that waits is committed and applied, and whoever proposed it has its answer. */
  async settleAll(): Promise<readonly (CommandResult | null)[]> {
    const results = this.waiting.splice(0).map(({ settle }) => settle());
    await this.answered();
    return results;
  }

  async loseAll(): Promise<void> {
    for (const { settle } of this.waiting.splice(0)) settle(null);
    await this.answered();
  }

  /** Promises that are settled have run what hangs off them. */
  async answered(): Promise<void> {
    for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
  }

  begin(loop: string, phase: string, caller: string, participants: readonly string[] = []): number {
    const body = { kind: 'beginPhase', ref: { loop, g: 1, phase }, supersedeAttempt: 0, vectorClock: [], participants };
    const result = this.carryOut(body as CommandBody, `trace-${loop}`, caller);
    if (result?.ok !== true || result.value.kind !== 'phaseBegun') throw new Error(JSON.stringify(result));
    return result.value.token;
  }
}
