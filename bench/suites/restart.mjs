/**
 * A member with a million entries in its log is killed and started again: until it answers a linearizable read, and what it holds in memory
 * then. One member, so that nothing but its own disk is in the way.
 */
import { writeLoad } from '../lib/loads.mjs';
import { until } from '../lib/workspace.mjs';

const ENTRIES = 1_000_000;
const READ_MS_MAX = 120_000;

export const restart = {
  name: 'restart',
  needs: ['h2load'],
  stages: () => [{ id: '1m' }],
  cluster: (_stage, Kind) => ({ members: 1, flags: Kind.longLog }),
  lifetime: 'suite',
  prepare: (system, context) => writeLoad(system, context.workspace, '8x32', context.size(ENTRIES, 3_000)),
  async measure(system) {
    await system.kill(0);
    const startMs = performance.now();
    system.start(0);
    await until(
      `${system.name}: a read after the restart`,
      () => system.call(0, system.read, READ_MS_MAX).catch(() => null),
      READ_MS_MAX,
    );
    const seconds = (performance.now() - startMs) / 1_000;
    const { now, peak } = system.memoryMiB();
    return { restart_1m_s: seconds, restart_1m_memory_mib: now, restart_1m_memory_peak_mib: peak };
  },
};
