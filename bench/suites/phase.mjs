/**
 * A whole phase, BEGIN and COMMIT, by one client and by 64 at once. etcd has no phases: beside it stand two transactions in a row, each
 * on condition of what was before.
 */
import { withLoad } from '../lib/loads.mjs';
import { latencyFigures } from '../lib/stats.mjs';

const LANES = 64;
const TRIPS_ALONE = 300;
const TRIPS = 6_400;

const rounds = new WeakMap();

async function trips(system, lanes, count) {
  const next = rounds.get(system);
  return withLoad([await system.leaderAddress()], Math.min(8, lanes), async (load) => {
    const latencies = [];
    const lane = async (_, n) => {
      for (let i = 0; i < count / lanes; i += 1) {
        const startMs = performance.now();
        await system.roundTrip(load, n, next[n]++);
        latencies.push(performance.now() - startMs);
      }
    };
    const startMs = performance.now();
    await Promise.all(Array.from({ length: lanes }, lane));
    return { rate: latencies.length / ((performance.now() - startMs) / 1_000), ...latencyFigures(latencies) };
  });
}

export const phase = {
  name: 'phase',
  needs: [],
  stages: () => [
    { id: '1', lanes: 1 },
    { id: '64', lanes: LANES },
  ],
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  async prepare(system, context) {
    rounds.set(system, new Uint32Array(LANES));
    await system.prepareTrips(LANES);
    await trips(system, LANES, context.size(TRIPS, LANES));
  },
  async measure(system, { id, lanes }, context) {
    const count = lanes === 1 ? context.size(TRIPS_ALONE, 20) : context.size(TRIPS, 2 * LANES);
    const { rate, p50, p99 } = await trips(system, lanes, count);
    return { [`phase_${id}_rate`]: rate, [`phase_${id}_p50`]: p50, [`phase_${id}_p99`]: p99 };
  },
};
