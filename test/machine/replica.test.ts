import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Applied, ReplicatedMachine } from '../../src/machine/api.ts';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import type { AppliedEntry, SessionRef } from '../../src/machine/types.ts';
import { revision } from '../../src/types/ids.ts';
import { Mirror } from './kit.ts';
import { Driver, history, SMALL_LIMITS } from './random-history.ts';

/** Everything that can be read of a machine. */
function seen(machine: ReplicatedMachine): unknown {
  const loops = machine.loops(null, 100).rows;
  const runs = loops.flatMap(({ loop, g }) => Array.from({ length: g }, (_, i) => machine.runs(loop, i + 1)).flat());
  return {
    appliedIndex: machine.appliedIndex,
    timeMs: machine.timeMs,
    hash: machine.stateHash(),
    plans: machine.plans(null, 100),
    loops,
    runs,
    attempts: runs.map(({ loop, g, phase }) => machine.attempts(loop, g, phase)),
    subSteps: runs.map(({ loop, g, phase }) => machine.subSteps(loop, g, phase, null, 100)),
    sessions: Array.from({ length: machine.appliedIndex }, (_, i) => machine.session(i as SessionRef['id'])),
    sessionCount: machine.sessionCount(),
    firstEventRevision: machine.firstEventRevision(),
    events: machine.events(revision(0), 1_000),
    nextTimerMs: machine.nextTimerMs(),
    members: machine.members(),
    featureLevel: machine.featureLevel(),
  };
}

describe('R7: replicas', () => {
  it('the same entries give the same answers, events, row changes and hash', () => {
    fc.assert(
      fc.property(history, fc.nat(10), fc.boolean(), (steps, every, domain) => {
        const [one, other] = [createMachine(SMALL_LIMITS), createMachine(SMALL_LIMITS)];
        const driver = new Driver(domain);
        const [mine, theirs] = [new Mirror(), new Mirror()];
        steps.forEach((step, at) => {
          const entry = driver.next(one, step);
          const copy = JSON.parse(JSON.stringify(entry)) as AppliedEntry;
          expect(other.apply(copy)).toEqual(one.apply(entry));
          // One flushes often, the other only at the end: how often is each member's own affair.
          if (at % (every + 1) === 0) mine.take(one);
        });
        expect(one.stateHash()).toBe(other.stateHash());
        mine.take(one);
        theirs.take(other);
        expect([...mine.rows].sort()).toEqual([...theirs.rows].sort());
      }),
      { numRuns: 100 },
    );
  });

  it('SE: a machine loaded from stored rows is the same, and goes on the same', () => {
    fc.assert(
      fc.property(history, fc.nat(100), fc.boolean(), (steps, percent, domain) => {
        const cut = Math.floor((steps.length * percent) / 100);
        const original = createMachine(SMALL_LIMITS);
        const driver = new Driver(domain);
        const mirror = new Mirror();
        for (const step of steps.slice(0, cut)) original.apply(driver.next(original, step));
        mirror.take(original);
        const loader = startLoading(SMALL_LIMITS);
        for (const row of [...mirror.rows.values()].reverse()) loader.add([row]);
        const loaded = loader.finish(original.appliedIndex);
        expect(loaded.takeChanges()).toEqual([]);
        expect(seen(loaded)).toEqual(seen(original));
        for (const step of steps.slice(cut)) {
          const entry = driver.next(original, step);
          const applied: Applied = original.apply(entry);
          expect(loaded.apply(entry)).toEqual(applied);
          expect(loaded.takeChanges()).toEqual(original.takeChanges());
        }
        expect(seen(loaded)).toEqual(seen(original));
      }),
      { numRuns: 100 },
    );
  });
});
