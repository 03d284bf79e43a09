/** Small writes, one in a call: rate and latency from 1 to 1,024 in flight, CPU time of the members for 1,000 of them. */
import { writeLoad } from '../lib/loads.mjs';

const SHAPES = [
  { id: '1x1', requests: 1_000 },
  { id: '1x64', requests: 20_000 },
  { id: '8x32', requests: 30_000 },
  { id: '16x64', requests: 40_000 },
];
const WARM_UP_REQUESTS = 10_000;

export const unaryWrite = {
  name: 'unary-write',
  needs: ['h2load'],
  stages: () => SHAPES,
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  prepare: (system, context) => writeLoad(system, context.workspace, '8x32', context.size(WARM_UP_REQUESTS, 500)),
  async measure(system, stage, context) {
    const requests = context.size(stage.requests, Math.ceil(stage.requests / 20));
    const { rate, mean, p50, p99, cpuPer1000 } = await writeLoad(system, context.workspace, stage.id, requests);
    const id = `unary_write_${stage.id}`;
    return {
      [`${id}_rate`]: rate,
      [`${id}_mean`]: mean,
      [`${id}_p50`]: p50,
      [`${id}_p99`]: p99,
      [`${id}_cpu`]: cpuPer1000,
    };
  },
};
