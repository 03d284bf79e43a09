/** Four linearizable reads for each write, 256 in flight, from a generator in Node.js (`grpc-load.mjs`). */
import { keyedLoad } from '../lib/loads.mjs';

const CALLS = 30_000;
const WRITE_EVERY = 5;

const load = (system, calls) => keyedLoad(system, calls, (i) => (i % WRITE_EVERY === 0 ? system.write : system.read));

export const mixed = {
  name: 'mixed',
  needs: [],
  stages: () => [{ id: '80_20' }],
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  prepare: (system, context) => load(system, context.size(10_000, 500)),
  async measure(system, _stage, context) {
    const { rate, p50, p99 } = await load(system, context.size(CALLS, 2_000));
    return { mixed_80_20_rate: rate, mixed_80_20_p50: p50, mixed_80_20_p99: p99 };
  },
};
