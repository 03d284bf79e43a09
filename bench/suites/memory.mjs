/** Memory of the member that holds most, three members: at rest after their start, and after a million writes to 10,000 keys. */
import { Keys, keyedLoad } from '../lib/loads.mjs';

const COMMANDS = 1_000_000;
const KEYS = 10_000;

export const memory = {
  name: 'memory',
  needs: [],
  stages: () => [{ id: 'all' }],
  cluster: () => ({ members: 3 }),
  lifetime: 'run',
  async measure(system, _stage, context) {
    await system.settled();
    const rest = system.memoryMiB().now;
    const keys = new Keys(context.size(KEYS, 500));
    await keyedLoad(system, context.size(COMMANDS, 3_000), () => keys.next(system));
    const { now, peak } = system.memoryMiB();
    return { memory_rest_mib: rest, memory_1m_commands_mib: now, memory_1m_commands_peak_mib: peak };
  },
};
