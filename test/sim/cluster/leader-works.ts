/** What a member does while it leads, in a run with recoveries: the real driver and the real detector, in simulated time. */
import { Detector } from '../../../src/detect/detector.ts';
import { documentCheck } from '../../../src/effector/document-check.ts';
import { RecoveryDriver } from '../../../src/effector/recovery-driver.ts';
import { WorkerQueues } from '../../../src/effector/worker-queues.ts';
import type { LeaderWork } from '../../../src/node/leader-work.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { OutsideWorld } from '../ports/outside.ts';

export interface Works {
  readonly works: readonly LeaderWork[];
  readonly close: () => void;
}

export const NO_WORKS: Works = { works: [], close: () => undefined };

/** A gap of so many ticks is still usual. */
const USUAL_TICKS = 10;
const DETECTION_MAX = 64;

/** For one life of a member. `process` tells it from its other lives. */
export function makeWorks(deps: {
  readonly outside: OutsideWorld;
  readonly process: object;
  readonly who: string;
  readonly clock: Clock;
  readonly tickMs: number;
  readonly onBug: (error: unknown) => void;
}): Works {
  const { clock, outside, process, who, tickMs, onBug } = deps;
  const workers = new WorkerQueues(clock);
  const hook = outside.hook(process, who, clock);
  const driver = new RecoveryDriver({
    hooks: { http: hook, grpc: hook, worker: workers },
    workers,
    checkDocuments: documentCheck(
      () => null,
      () => Promise.resolve(),
    ),
    onBug,
  });
  const limits = { periodMs: USUAL_TICKS * tickMs, perTick: DETECTION_MAX, proposalsMax: DETECTION_MAX };
  return { works: [new Detector(limits), driver], close: () => driver.close() };
}
